//! The conformance subject around the Rust client: requests on the standard input, replies and
//! events on the standard output, one JSON object per line. See `clients/conformance/README.md`.

use std::io::{self, Write as _};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod args;
mod failure;
mod leftovers;
mod objects;
mod operations;

use args::Args;
use failure::Failure;
use objects::Objects;

/// Lines that may wait to be written.
const LINES_MAX: usize = 1024;

#[tokio::main]
async fn main() -> io::Result<()> {
    let (lines, mut written) = mpsc::channel::<Value>(LINES_MAX);
    let objects = Arc::new(Objects::new(lines));
    let writer = std::thread::spawn(move || {
        while let Some(line) = written.blocking_recv() {
            let mut out = io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()?;
        }
        io::Result::Ok(())
    });
    let mut requests = BufReader::new(stdin()).lines();
    while let Some(line) = requests.next_line().await? {
        let request: Value = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => {
                eprintln!("not a request: {error}: {line}");
                continue;
            }
        };
        // Known before the next line is read, which may cancel it.
        let cancelled = objects.begin(&request["id"]);
        objects.spawn(answer(Arc::clone(&objects), request, cancelled));
    }
    objects.close_all().await;
    drop(objects);
    writer.join().expect("the writer does not panic")
}

/// Serves one request, and replies to it.
async fn answer(objects: Arc<Objects>, request: Value, cancelled: CancellationToken) {
    let id = request["id"].clone();
    let op = request["op"].as_str().unwrap_or_default().to_owned();
    let args = Args::new(request["args"].clone());
    let outcome = tokio::select! {
        biased;
        () = cancelled.cancelled() => Err(Failure::cancelled(&op)),
        outcome = Box::pin(operations::run(&objects, &op, &args)) => outcome,
    };
    objects.end(&id);
    let reply = match outcome {
        Ok(ok) => json!({"id": id, "ok": ok}),
        Err(failure) => json!({"id": id, "error": failure.to_json()}),
    };
    objects.write(reply).await;
}
