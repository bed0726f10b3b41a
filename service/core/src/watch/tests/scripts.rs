//! Golden scripts: actions and their effects, in one file each.
//!
//! A line that begins with `>` is an action; the lines after it, up to a blank line, a comment or
//! the next action, are all its effects. `settings` comes first, if at all. Run the tests with
//! `UPDATE_SCRIPTS=1` to write the actual effects into the files, and read the difference.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use bytes::Bytes;
use conclave_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use conclave_proto::mvccpb::event::EventType;
use conclave_proto::mvccpb::{Event, KeyValue};
use conclave_storage::Revision;

use super::world::{World, Write};

macro_rules! scripts {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )+

        #[test]
        fn every_script_is_run() {
            let entries = fs::read_dir(folder()).expect("the folder is there");
            let mut files: Vec<_> =
                entries.map(|entry| entry.expect("readable").path()).collect();
            files.sort();
            let mut named: Vec<_> = [$(stringify!($name)),+].map(file).into();
            named.sort();
            assert_eq!(files, named);
        }
    };
}

scripts! {
    a_future_start_waits
    a_pack_is_bounded
    a_revision_stays_together_unless_fragmented
    an_old_overflow_spares_a_new_watcher
    catching_up_joins_without_a_gap
    compaction_ends_a_watcher_that_needs_what_is_gone
    each_watcher_has_its_own_view
    live_watchers_get_each_revision
    no_event_precedes_the_acknowledgement
    nothing_is_lost_or_repeated_across_a_snapshot
    nothing_is_lost_or_repeated_across_an_overflow
    nothing_is_lost_or_repeated_across_an_overrun
    old_history_holds_up_nobody
    one_large_revision_goes_through
    progress_is_told_to_the_quiet
    progress_never_overtakes_an_event
    previous_values_end_with_a_compaction
    requests_are_answered
    watchers_are_bounded
    what_a_watcher_missed_goes_out_together
    what_is_packed_is_sent_before_its_watcher_ends
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/watch/scripts")
}

fn file(name: &str) -> PathBuf {
    folder().join(name).with_extension("txt")
}

fn check(name: &str) {
    let file = file(name);
    let expected = fs::read_to_string(&file).expect("readable");
    let actual = run(&expected);
    if env::var_os("UPDATE_SCRIPTS").is_some() {
        fs::write(&file, &actual).expect("writable");
    } else {
        assert!(actual == expected, "{name}.txt should be:\n\n{actual}");
    }
}

/// The script with its actual effects.
fn run(script: &str) -> String {
    let mut player = Player {
        world: World::new(World::settings()),
        stream: 1,
    };
    let mut opened = false;
    let mut out = String::new();
    for line in script.lines() {
        let Some(command) = line.strip_prefix("> ") else {
            if line.is_empty() || line.starts_with('#') {
                writeln!(out, "{line}").expect("memory");
            }
            continue;
        };
        writeln!(out, "{line}").expect("memory");
        if let Some(settings) = command.strip_prefix("settings ") {
            assert!(!opened, "settings come first");
            player.world = World::new(settings_of(settings));
            continue;
        }
        if !opened {
            player.world.open(1);
            opened = true;
        }
        for result in player.play(command) {
            writeln!(out, "{result}").expect("memory");
        }
    }
    out
}

struct Player {
    world: World,
    stream: u64,
}

impl Player {
    fn play(&mut self, command: &str) -> Vec<String> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let Player { world, stream } = self;
        let mut results = Vec::new();
        match verb {
            "write" => world.write(&writes(rest)),
            "install" => world.install(&rest.split('|').map(writes).collect::<Vec<_>>()),
            "compact" => world.compact(Revision(rest.parse().expect("a revision"))),
            "hub" => world.run_hub(),
            "open" => {
                *stream = rest.parse().expect("a number");
                world.open(*stream);
            }
            "stream" => *stream = rest.parse().expect("a number"),
            "create" => world.create(*stream, request(rest)),
            "cancel" => world.cancel(*stream, rest.parse().expect("an id")),
            "progress" => world.request_progress(*stream),
            "tick" => world.tick(*stream),
            "join" => {
                let (taken, refused) = world.join(*stream);
                results.push(format!("taken {taken}, refused {refused}"));
            }
            "read" => {
                let read = world.read(*stream).map(|(what, _)| what);
                results.push(read.unwrap_or_else(|| "nobody lags".to_owned()));
            }
            "receive" => {
                let received = world.receive(*stream);
                results.push(received.unwrap_or_else(|| "the queue is empty".to_owned()));
            }
            "settle" => world.settle(*stream),
            other => panic!("what is {other}?"),
        }
        if *stream != 0 {
            results.extend(world.responses(*stream).iter().map(show));
        }
        results
    }
}

fn settings_of(text: &str) -> crate::watch::Settings {
    let mut settings = World::settings();
    for word in text.split(' ') {
        let (name, value) = word.split_once('=').expect("name=value");
        let value = value.parse().expect("a number");
        match name {
            "ring" => settings.ring_bytes_max = value,
            "queue" => settings.queue_messages_max = value,
            "queue_bytes" => settings.queue_bytes_max = value,
            "step" => settings.step_bytes_max = value,
            "watchers" => settings.watchers_per_stream_max = value,
            "fragment" => settings.fragment_bytes = value,
            "steps" => settings.pack_steps_max = value,
            "revisions" => settings.pack_revisions_max = value,
            "pack" => settings.pack_bytes_max = value,
            "response" => settings.response_bytes_max = value,
            other => panic!("what is {other}?"),
        }
    }
    settings
}

fn writes(text: &str) -> Vec<Write> {
    let write = |text: &str| {
        let (key, value) = text
            .trim()
            .split_once('=')
            .expect("key=value, or key= to delete");
        let value = (!value.is_empty()).then(|| Bytes::copy_from_slice(value.as_bytes()));
        (Bytes::copy_from_slice(key.as_bytes()), value)
    };
    text.split(' ')
        .filter(|word| !word.is_empty())
        .map(write)
        .collect()
}

fn request(text: &str) -> WatchCreateRequest {
    let mut request = WatchCreateRequest::default();
    for word in text.split(' ') {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "key" => request.key = Bytes::copy_from_slice(value.as_bytes()),
            "end" if value == "never" => request.range_end = Bytes::from_static(b"\0"),
            "end" => request.range_end = Bytes::copy_from_slice(value.as_bytes()),
            "start" => request.start_revision = value.parse().expect("a revision"),
            "id" => request.watch_id = value.parse().expect("an id"),
            "prev" => request.prev_kv = true,
            "notify" => request.progress_notify = true,
            "fragment" => request.fragment = true,
            "noput" => request.filters.push(0),
            "nodelete" => request.filters.push(1),
            other => panic!("what is {other}?"),
        }
    }
    request
}

fn show(response: &WatchResponse) -> String {
    let revision = response.header.map_or(0, |header| header.revision);
    let mut text = format!("{} @{revision}", response.watch_id);
    if response.created {
        text += " created";
    }
    if response.canceled {
        text += " canceled";
    }
    if response.compact_revision != 0 {
        write!(text, " compact_revision={}", response.compact_revision).expect("memory");
    }
    if !response.cancel_reason.is_empty() {
        write!(text, " \"{}\"", response.cancel_reason).expect("memory");
    }
    if response.fragment {
        text += " fragment";
    }
    let plain = !response.created && !response.canceled;
    if plain && response.events.is_empty() {
        text += " progress";
    }
    for event in &response.events {
        write!(text, "  {}", show_event(event)).expect("memory");
    }
    text
}

fn show_event(event: &Event) -> String {
    let kv = event.kv.clone().unwrap_or_default();
    let show_kv = |kv: &KeyValue| {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        format!("{}={}", text(&kv.key), text(&kv.value))
    };
    let sign = if event.r#type() == EventType::Delete {
        "-"
    } else {
        "+"
    };
    let prev = event.prev_kv.as_ref();
    let prev = prev.map_or(String::new(), |prev| format!("(was {})", show_kv(prev)));
    format!("{}:{sign}{}{prev}", kv.mod_revision, show_kv(&kv))
}
