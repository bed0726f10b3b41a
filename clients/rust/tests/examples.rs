//! The examples run, and the README's tour is one of them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::server::Server;
use crate::wait::until;

/// A process that is killed if it does not end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Built with the tests by `cargo test`, unless only some tests are asked for.
#[tokio::test]
async fn each_example_runs() {
    let server = Server::start().await;
    let test = std::env::current_exe().unwrap();
    let built = test.parent().unwrap().parent().unwrap().join("examples");
    let sources = std::fs::read_dir(folder()).unwrap();
    for source in sources.map(|entry| entry.unwrap().path()) {
        let name = source.file_stem().unwrap();
        let example = built.join(name);
        assert!(
            example.exists(),
            "run `cargo build --release --examples`: {example:?}"
        );
        // Twice: what it leaves must not stop it.
        for _ in 0..2 {
            let mut command = Command::new(&example);
            command.env("ETCDCTL_ENDPOINTS", &server.endpoint);
            let mut running = Running(command.spawn().unwrap());
            let what = format!("the end of {name:?}");
            until(&what, || {
                let has_ended = running.0.try_wait().unwrap().is_some();
                async move { has_ended }
            })
            .await;
            let status = running.0.wait().unwrap();
            assert!(status.success(), "{name:?}: {status}");
        }
    }
}

#[test]
fn the_tour_is_an_example() {
    let tour = std::fs::read_to_string(folder().join("tour.rs")).unwrap();
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let indented = |line: &str| match line.is_empty() {
        true => String::new(),
        false => format!("    {line}"),
    };
    let expected: Vec<_> = tour.lines().skip(2).map(indented).collect();
    assert!(
        readme.contains(&expected.join("\n")),
        "copy examples/tour.rs into README.md"
    );
}
