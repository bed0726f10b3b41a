//! A subject: a process that runs a client in some language, and the protocol with it.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot, watch};

use crate::failure::Failure;

/// Lines of the protocol and of standard error that a failed test prints.
const LINES_SHOWN: usize = 60;

/// Time limit of a subject's first answer, for a busy machine.
const START: Duration = Duration::from_secs(60);

/// Time limit of a subject to close everything and exit.
const END: Duration = Duration::from_secs(15);

/// A running subject. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Subject {
    pid: u32,
    child: tokio::sync::Mutex<Child>,
    /// Lines for its standard input. `None` once that is closed.
    requests: Mutex<Option<mpsc::UnboundedSender<String>>>,
    shared: Arc<Shared>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts events.
    changed: watch::Sender<u64>,
    begin: Instant,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<u64, oneshot::Sender<Reply>>,
    events: BTreeMap<String, VecDeque<Value>>,
    lines: VecDeque<String>,
    /// A violation of the protocol.
    broken: Option<String>,
}

/// An answer: the result, or the error as an object with `kind`, `name`, `text`, …
pub(crate) type Reply = Result<Value, Value>;

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) id: u64,
    reply: oneshot::Receiver<Reply>,
}

impl Sent {
    /// The answer; an error if the subject ended without one.
    pub(crate) async fn reply(self) -> Result<Reply, Failure> {
        let ended = |_| Failure::new("the subject ended, or broke the protocol");
        self.reply.await.map_err(ended)
    }
}

impl Subject {
    /// Starts a language's subject.
    pub(crate) fn start(program: &Path) -> Result<Self, Failure> {
        let cannot = |error| Failure::new(format!("cannot start {}: {error}", program.display()));
        Self::spawn(Command::new(program)).map_err(cannot)
    }

    fn spawn(mut command: Command) -> Result<Self, std::io::Error> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let input = child.stdin.take().expect("piped above");
        let output = child.stdout.take().expect("piped above");
        let errors = child.stderr.take().expect("piped above");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            begin: Instant::now(),
        });
        let (requests, lines) = mpsc::unbounded_channel();
        tokio::spawn(write(input, lines));
        tokio::spawn(read_replies(output, Arc::clone(&shared)));
        tokio::spawn(read_errors(errors, Arc::clone(&shared)));
        Ok(Self {
            pid: child.id().expect("it was not waited for"),
            child: tokio::sync::Mutex::new(child),
            requests: Mutex::new(Some(requests)),
            shared,
            next: AtomicU64::new(1),
        })
    }

    /// Waits until it answers, and has it make a first call to a member: a virtual machine takes
    /// seconds on a busy machine to load what that needs, and no step should have to expect them.
    pub(crate) async fn warm_up(&self, endpoint: &str) -> Result<(), Failure> {
        self.expect_ready().await?;
        for (operation, arguments) in [
            (
                "client.open",
                json!({"as": "warm", "endpoints": [endpoint]}),
            ),
            (
                "get",
                json!({"client": "warm", "key": "warm", "deadline": START.as_secs()}),
            ),
            ("client.close", json!({"client": "warm"})),
        ] {
            let reply = self.send(operation, arguments).reply();
            // What comes of it is no matter: the member may ask for a user.
            let answered = tokio::time::timeout(START, reply).await;
            let late = |_| Failure::new(format!("`{operation}` is not answered"));
            answered.map_err(late)?.map(drop)?;
        }
        Ok(())
    }

    /// Waits until it answers.
    pub(crate) async fn expect_ready(&self) -> Result<(), Failure> {
        let reply = self.send("an unknown operation", json!({})).reply();
        match tokio::time::timeout(START, reply).await {
            Ok(Ok(Err(error))) if error["kind"] == "unsupported" => Ok(()),
            answer => Err(Failure::new(format!("an unknown operation: {answer:?}"))),
        }
    }

    /// Sends a request.
    pub(crate) fn send(&self, operation: &str, arguments: Value) -> Sent {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let line = json!({"id": id, "op": operation, "args": arguments}).to_string();
        let (sender, reply) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            state.note(self.shared.begin, "->", &line);
            state.waiting.insert(id, sender);
        }
        if let Some(requests) = &*self.lock_requests() {
            // If the subject has ended, its reader reports that to the waiting request.
            let _ = requests.send(line);
        }
        Sent { id, reply }
    }

    fn lock_requests(&self) -> MutexGuard<'_, Option<mpsc::UnboundedSender<String>>> {
        let requests = self.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner)
    }

    /// The next event of a handle, after those that were taken before.
    pub(crate) async fn event(&self, handle: &str) -> Value {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(event) = self.shared.lock().take(handle) {
                return event;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Fails if the subject has broken the protocol.
    pub(crate) fn expect_sound(&self) -> Result<(), Failure> {
        match &self.shared.lock().broken {
            Some(broken) => Err(Failure::new(format!("the protocol: {broken}"))),
            None => Ok(()),
        }
    }

    /// Sends a signal by name: `STOP` or `CONT`. The process must not have ended.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        let status = sent.await.expect("kill is a program");
        assert!(status.success(), "cannot send {name} to {pid}");
    }

    /// Kills the process and waits until it is gone.
    pub(crate) async fn kill(&self) {
        let killed = self.child.lock().await.kill().await;
        killed.expect("a child can be killed");
    }

    /// Closes the standard input, and waits for the end.
    pub(crate) async fn end(&self) -> Result<ExitStatus, Failure> {
        *self.lock_requests() = None;
        let mut child = self.child.lock().await;
        match tokio::time::timeout(END, child.wait()).await {
            Ok(status) => Ok(status.expect("a child can be waited for")),
            Err(_) => Err(Failure::new("it does not end when its input ends")),
        }
    }

    /// The last lines of the protocol and of the standard error.
    pub(crate) fn transcript(&self) -> String {
        let state = self.shared.lock();
        let lines = state.lines.iter().map(|line| format!("    {line}\n"));
        lines.collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, handle: &str) -> Option<Value> {
        self.events.get_mut(handle)?.pop_front()
    }

    fn note(&mut self, begin: Instant, mark: &str, line: &str) {
        if self.lines.len() == LINES_SHOWN {
            self.lines.pop_front();
        }
        let line: String = line.chars().take(400).collect();
        let seconds = begin.elapsed().as_secs_f64();
        self.lines.push_back(format!("{seconds:8.3} {mark} {line}"));
    }

    fn accept(&mut self, line: &str) -> Result<(), String> {
        let mut message: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(handle) = message["on"].as_str() {
            let handle = handle.to_owned();
            let event = message["event"].take();
            self.events.entry(handle).or_default().push_back(event);
            return Ok(());
        }
        let id = message["id"].as_u64().ok_or("neither `id` nor `on`")?;
        let waiting = self.waiting.remove(&id);
        let waiting = waiting.ok_or_else(|| format!("{id} does not wait for a reply"))?;
        let reply = match (message.get("ok"), message.get("error")) {
            (Some(_), None) => Ok(message["ok"].take()),
            (None, Some(_)) => Err(message["error"].take()),
            _ => return Err("neither `ok` nor `error`, or both".to_owned()),
        };
        // The driver may have given the request up.
        let _ = waiting.send(reply);
        Ok(())
    }
}

async fn write(mut input: ChildStdin, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(line) = lines.recv().await {
        let line = format!("{line}\n");
        if input.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_replies(output: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut state = shared.lock();
        state.note(shared.begin, "<-", &line);
        if let Err(error) = state.accept(&line) {
            state.broken = Some(format!("{error}: {line}"));
            break;
        }
        shared.changed.send_modify(|count| *count += 1);
    }
    // Whoever waits is told.
    shared.lock().waiting.clear();
}

async fn read_errors(errors: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    let mut lines = BufReader::new(errors).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        shared.lock().note(shared.begin, "::", &line);
    }
}

#[cfg(test)]
mod tests {
    use harness::within;

    use super::*;

    /// Runs a subject that is a shell script.
    fn on_script<F: Future>(script: &str, test: impl FnOnce(Subject) -> F) -> F::Output {
        harness::run(async {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            test(Subject::spawn(command).unwrap()).await
        })
    }

    #[test]
    fn replies_are_given_to_who_asked_and_events_are_kept() {
        let script = r#"read one; read two
            echo '{"on":"w","event":{"type":"first"}}'
            echo '{"id":2,"error":{"kind":"closed"}}'
            echo '{"on":"w","event":{"type":"second"}}'
            echo '{"id":1,"ok":{"value":7}}'
            cat > /dev/null"#;
        on_script(script, async |subject| {
            let (one, two) = (subject.send("a", json!({})), subject.send("b", json!({})));
            let (one, two) = (one.reply(), two.reply());
            assert_eq!(within("a", one).await, Ok(Ok(json!({"value": 7}))));
            assert_eq!(within("b", two).await, Ok(Err(json!({"kind": "closed"}))));
            assert_eq!(
                within("an event", subject.event("w")).await["type"],
                "first"
            );
            assert_eq!(
                within("an event", subject.event("w")).await["type"],
                "second"
            );
            assert_eq!(subject.expect_sound(), Ok(()));
            assert!(subject.end().await.unwrap().success());
        });
    }

    #[test]
    fn a_line_that_is_none_of_the_protocol_is_reported() {
        for line in [
            "Hello!",
            r#"{"id":9,"ok":{}}"#,
            r#"{"id":1}"#,
            r#"{"ok":{}}"#,
            r#"{"id":1,"ok":{},"error":{}}"#,
        ] {
            let script = format!("read one; echo '{line}'; cat > /dev/null");
            on_script(&script, async |subject| {
                let reply = within("a", subject.send("a", json!({})).reply()).await;
                assert!(reply.is_err(), "{line}: {reply:?}");
                assert!(subject.expect_sound().is_err(), "{line}");
            });
        }
    }

    #[test]
    fn a_subject_that_ends_fails_who_waits() {
        on_script("read one; echo dying >&2; exit 3", async |subject| {
            let reply = within("a", subject.send("a", json!({})).reply()).await;
            assert!(reply.is_err(), "{reply:?}");
            assert_eq!(subject.end().await.unwrap().code(), Some(3));
            assert!(subject.transcript().contains(":: dying"));
        });
    }
}
