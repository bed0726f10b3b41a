//! Transactions.

use conclave_client::api::compare::{CompareResult, CompareTarget, TargetUnion};
use conclave_client::api::{Compare, RequestOp};
use conclave_client::txn;
use serde_json::{Value, json};

use super::{Outcome, client};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::Objects;

pub(super) async fn run(objects: &Objects, op: &str, args: &Args) -> Outcome {
    let client = client(objects, args)?;
    let request = match op {
        "txn" => txn::when_else(
            all(args, "if", compare)?,
            all(args, "then", operation)?,
            all(args, "else", operation)?,
        ),
        "owner.put" => {
            let guard = txn::owner(args.text("owner")?.to_owned(), args.number("token"));
            let (key, value) = (args.text("key")?, args.text("value")?);
            txn::when([guard], [txn::put(key.to_owned(), value.to_owned())])
        }
        _ => return Err(Failure::unsupported(op)),
    };
    let done = client.txn(request).await?;
    let revision = done.header.map_or(0, |header| header.revision);
    Ok(json!({"succeeded": done.succeeded, "revision": revision}))
}

fn all<T>(args: &Args, name: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Failure> {
    let of = |value: &Value| {
        read(value).ok_or_else(|| Failure::invalid(format!("{name:?} has {value}")))
    };
    args.list(name).iter().map(of).collect()
}

fn compare(value: &Value) -> Option<Compare> {
    let than = &value["than"];
    let number = || than.as_i64();
    let (target, union) = match value["target"].as_str()? {
        "create_revision" => (
            CompareTarget::Create,
            TargetUnion::CreateRevision(number()?),
        ),
        "mod_revision" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "value" => {
            let text = than.as_str()?.to_owned();
            (CompareTarget::Value, TargetUnion::Value(text.into()))
        }
        _ => return None,
    };
    let result = match value["is"].as_str()? {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        "<" => CompareResult::Less,
        ">" => CompareResult::Greater,
        _ => return None,
    };
    Some(Compare {
        result: result.into(),
        target: target.into(),
        key: value["key"].as_str()?.to_owned().into(),
        target_union: Some(union),
        ..Default::default()
    })
}

fn operation(value: &Value) -> Option<RequestOp> {
    let (name, args) = value.as_object()?.iter().next()?;
    let key = args["key"].as_str()?.to_owned();
    match name.as_str() {
        "put" => Some(txn::put(key, args["value"].as_str()?.to_owned())),
        "delete" => Some(txn::delete(key)),
        "get" => Some(txn::get(key)),
        _ => None,
    }
}
