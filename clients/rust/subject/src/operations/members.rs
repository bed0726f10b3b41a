//! Groups and services.

use std::sync::{Arc, Mutex};

use conclave_client::Error;
use conclave_client::recipes::{Group, Service};
use serde_json::{Map, json};

use super::{Outcome, client, text, wait};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::{Object, Objects, lock};

pub(super) async fn run(objects: &Arc<Objects>, op: &str, args: &Args) -> Outcome {
    match op {
        "group.join" => {
            let session = objects.session(args.text("session")?)?;
            let group = Group::new(session.client(), args.text("name")?.to_owned());
            let value = args.text("value")?.to_owned();
            let joining = group.join(&session, args.text("member")?, value);
            let membership = wait(args, joining).await?;
            let membership = Arc::new(Mutex::new(Some(membership)));
            objects.add(args.text("as")?, Object::Membership(membership));
            Ok(json!({}))
        }
        "group.leave" => {
            let membership = objects.membership(args.text("group")?)?;
            let membership = lock(&membership).take();
            let membership = membership.ok_or(Error::Closed("the membership"))?;
            wait(args, membership.leave()).await?;
            Ok(json!({}))
        }
        "group.members" => {
            let group = Group::new(&client(objects, args)?, args.text("name")?.to_owned());
            let members = group.members().await?;
            let members = members
                .iter()
                .map(|(member, value)| (text(member), json!(text(value))));
            Ok(json!({"members": members.collect::<Map<_, _>>()}))
        }
        "service.register" => {
            let session = objects.session(args.text("session")?)?;
            let service = Service::new(session.client(), args.text("service")?.to_owned());
            let registering = service.register(&session, args.text("address")?, None);
            let held = wait(args, registering).await?;
            let (token, held) = (held.token(), Arc::new(Mutex::new(Some(held))));
            objects.add(args.text("as")?, Object::Held(token, held));
            Ok(json!({}))
        }
        "service.list" => {
            let service = Service::new(&client(objects, args)?, args.text("service")?.to_owned());
            let instances = service.instances().await?;
            let addresses: Vec<_> = instances.into_iter().map(|one| one.address).collect();
            Ok(json!({"addresses": addresses}))
        }
        _ => Err(Failure::unsupported(op)),
    }
}
