//! The process: flags, logging, one server, signals, an exit status. Everything else is in the
//! library, so that tests can run a member without a process.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use conclave_service::config::{self, Config, Invocation, LogFormat};
use conclave_service::logging::Verbosity;
use conclave_service::{
    FatalError, Server, StartError, banner, descriptors, logging, service_manager,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// RocksDB and the network edge make many small allocations on many threads, and with them the
/// system's allocator keeps several times the memory in use.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let exit_code = run_process();
    logging::finish();
    exit_code
}

fn run_process() -> ExitCode {
    let arguments: Result<Vec<String>, OsString> = std::env::args_os()
        .skip(1)
        .map(OsString::into_string)
        .collect();
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let invocation = match arguments {
        Ok(arguments) => config::parse(arguments, environment),
        Err(argument) => return fail(&format!("the argument {argument:?} is not UTF-8"), 2),
    };
    match invocation {
        Ok(Invocation::Print(text)) => {
            // A closed pipe, as in `conclave --help | head -1`, is not an error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Invocation::Run(config, notices)) => {
            let verbosity = match logging::start(&config) {
                Ok(verbosity) => verbosity,
                Err(error) => return fail(&error, 1),
            };
            logging::report(&notices);
            if let Err(error) = descriptors::raise() {
                tracing::warn!(%error, "cannot raise the limit of open files");
            }
            run(*config, verbosity).map_or_else(|error| fail(&error, 1), |()| ExitCode::SUCCESS)
        }
        Err(error) => fail(&error, error.exit_code()),
    }
}

#[tokio::main]
async fn run(config: Config, verbosity: Verbosity) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangups = hangups()?;
    let for_people = config.log_format != Some(LogFormat::Json) && std::io::stderr().is_terminal();
    let server = tokio::select! {
        server = Server::start(config) => match server {
            Err(StartError::Removed) => return ended(Err(FatalError::Removed)),
            server => server?,
        },
        // No client has been served yet, and a start can be interrupted at any point, as by a
        // crash.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let started = async {
        let is_ready = service_manager::report_start(&server).await;
        let address = server.client_addresses().first();
        if let Some(address) = address.filter(|_| is_ready && for_people) {
            logging::print(&banner::try_next(&address.to_string()));
        }
        std::future::pending::<Infallible>().await
    };
    let signal = tokio::select! {
        biased;
        outcome = server.stopped() => return ended(outcome),
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        never = started => match never {},
        never = service_manager::feed_watchdog(&server) => match never {},
        never = reload(&server, verbosity, hangups) => match never {},
    };
    tracing::info!(signal, "stopping");
    service_manager::report_stop();
    ended(server.shutdown().await)
}

/// Returns the signals that ask to read files again: SIGHUP, except in a terminal. There it means
/// that the terminal was closed, and a member ends with it.
fn hangups() -> io::Result<Option<Signal>> {
    let has_terminal = File::open("/dev/tty").is_ok();
    match has_terminal {
        true => Ok(None),
        false => signal(SignalKind::hangup()).map(Some),
    }
}

/// Reads the certificates and the log level again at each of these signals, and opens the audit log
/// anew.
async fn reload(
    server: &Server,
    mut verbosity: Verbosity,
    mut hangups: Option<Signal>,
) -> Infallible {
    while let Some(hangups) = &mut hangups
        && hangups.recv().await.is_some()
    {
        service_manager::report_reload(server, || {
            verbosity.read_again();
            tracing::info!(
                signal = "SIGHUP",
                "certificates and log level are read again"
            );
            server.reload_certificates();
            server.reopen_audit_log();
        });
    }
    std::future::pending().await
}

/// A member stops by itself after a failure, or when it was removed from its cluster. The removal
/// was an operator's request, so it counts as a success and a supervisor does not restart the
/// member.
fn ended(outcome: Result<(), FatalError>) -> Result<(), Failure> {
    match outcome {
        Err(removed @ FatalError::Removed) => {
            service_manager::report_removal();
            logging::print(&format!(
                "conclave: {removed}; to add it again, empty its data directory, run `etcdctl \
                 member add` and start it with --initial-cluster-state=existing\n"
            ));
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(()) => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

/// Prints one line to standard error, whatever the log level is.
fn fail(error: &dyn std::fmt::Display, exit_code: u8) -> ExitCode {
    logging::print(&format!("conclave: {error}\n"));
    ExitCode::from(exit_code)
}
