//! Clients and sessions.

use std::sync::Arc;

use conclave_client::{Options, TlsFiles};
use serde_json::json;

use super::{Outcome, client};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::{Object, Objects};

pub(super) async fn run(objects: &Arc<Objects>, op: &str, args: &Args) -> Outcome {
    match op {
        "client.open" => open_client(objects, args).await,
        "client.close" => {
            objects.client(args.text("client")?)?.close().await;
            Ok(json!({}))
        }
        "session.open" => open_session(objects, args).await,
        "session.state" => {
            let state = objects.session(args.text("session")?)?.state();
            Ok(json!({"state": state.to_string()}))
        }
        "session.close" => {
            objects.session(args.text("session")?)?.close().await;
            Ok(json!({}))
        }
        _ => Err(Failure::unsupported(op)),
    }
}

async fn open_client(objects: &Objects, args: &Args) -> Outcome {
    let endpoints = args.list("endpoints").iter().filter_map(|one| one.as_str());
    let mut options = Options::new();
    if let Some(ca) = args.optional("cacert") {
        let mut files = TlsFiles::trusting(ca);
        files = match (args.optional("cert"), args.optional("key")) {
            (None, None) => files,
            (Some(cert), Some(key)) => files.presenting(cert, key),
            _ => return Err(Failure::invalid("cert and key belong together".into())),
        };
        options = options.tls(files);
    }
    if let Some(user) = args.optional("user") {
        options = options.user(user, args.optional("password").unwrap_or_default());
    }
    if let Some(timeout) = args.seconds("timeout")? {
        options = options.deadline(timeout);
    }
    let client = options.connect(endpoints).await?;
    objects.add(args.text("as")?, Object::Client(client));
    Ok(json!({}))
}

async fn open_session(objects: &Arc<Objects>, args: &Args) -> Outcome {
    let name = args.text("as")?.to_owned();
    let ttl = args.value("ttl").as_f64().unwrap_or(0.0).ceil() as i64;
    let session = client(objects, args)?.session(ttl).await?;
    let lease = format!("{:x}", session.id());
    let mut states = session.states();
    objects.add(&name, Object::Session(session));
    let writer = Arc::clone(objects);
    objects.spawn(async move {
        while let Some(state) = states.next().await {
            let event = json!({"type": "state", "state": state.to_string()});
            writer.write(json!({"on": name, "event": event})).await;
        }
    });
    Ok(json!({"lease": lease}))
}
