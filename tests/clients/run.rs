//! Runs the steps of a scenario.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

use harness::within;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::background::{Background, Ended, Records};
use crate::failure::Failure;
use crate::operations::{Kind, Operation};
use crate::reply::{self, judge};
use crate::script::{Action, Call, DRIVER, Event, Expected, Loop, Relation, Script, Step, Times};
use crate::subject::Reply;
use crate::values::{Variables, compares, shown};
use crate::world::World;
use crate::{direct, ending};

/// Time limit of a step for which the scenario names none.
const PATIENCE: Duration = Duration::from_secs(20);

/// The deadline of a call that names none (R1).
const DEADLINE: f64 = 5.0;

/// Delay of an answer beyond its call's deadline that a busy machine may cause.
const LATENESS: Duration = Duration::from_millis(2500);

/// Interval between checks of a condition.
const POLL: Duration = Duration::from_millis(20);

/// A running scenario.
pub(crate) struct Runner {
    pub(crate) world: World,
    variables: Variables,
    running: BTreeMap<String, Background>,
    /// Acknowledged puts of the loops.
    records: BTreeMap<String, Records>,
}

impl Runner {
    pub(crate) fn new(world: World) -> Self {
        Self {
            variables: world.variables(),
            world,
            running: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    /// Runs all steps, and expects that the subjects leave nothing behind.
    pub(crate) async fn run(&mut self, script: &Script) -> Result<(), Failure> {
        self.steps(&script.steps).await?;
        let ended = ending::end(&mut self.world).await;
        ended.map_err(|failure| Failure::new(format!("at the end: {failure}")))
    }

    async fn steps(&mut self, steps: &[Step]) -> Result<(), Failure> {
        for step in steps {
            let done = self.step(&step.action).await;
            // A failure inside of a block names the line there.
            let is_block = matches!(step.action, Action::Repeat(..));
            done.map_err(|failure| match is_block {
                true => failure,
                false => Failure::new(format!("line {}: {}\n  {failure}", step.line, step.text)),
            })?;
            for (name, party) in &self.world.parties {
                if let Some(subject) = &party.subject {
                    let sound = subject.expect_sound();
                    sound.map_err(|failure| Failure::new(format!("{name}: {failure}")))?;
                }
            }
        }
        Ok(())
    }

    /// Runs a block. It has steps, so its future must be in a box.
    fn block<'a>(
        &'a mut self,
        steps: &'a [Step],
    ) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
        Box::pin(self.steps(steps))
    }

    async fn step(&mut self, action: &Action) -> Result<(), Failure> {
        match action {
            Action::Call(call) => self.call(call).await,
            Action::Loop(Loop { times, call }) => {
                let Times::Exactly(count) = *times else {
                    return Err(Failure::new("a loop needs a number of times"));
                };
                let outer = self.variables.turn();
                for turn in 1..=count {
                    self.variables.set_turn(Some(turn.into()));
                    let called = self.call(call).await;
                    called.map_err(|failure| Failure::new(format!("{turn}: {failure}")))?;
                }
                self.variables.set_turn(outer);
                Ok(())
            }
            Action::Repeat(count, steps) => {
                let outer = self.variables.turn();
                for turn in 1..=*count {
                    self.variables.set_turn(Some(turn.into()));
                    let done = self.block(steps).await;
                    done.map_err(|failure| Failure::new(format!("round {turn}, {failure}")))?;
                }
                self.variables.set_turn(outer);
                Ok(())
            }
            Action::Until(call) => self.until(call).await,
            Action::Event(event) => self.event(event).await,
            Action::Quiet(subject, handle, time) => self.quiet(subject, handle, *time).await,
            Action::Check(left, relation, right) => self.check(left, *relation, right),
            Action::Let(name, words) => self.set(name, words).await,
            Action::Process(verb, target) => {
                self.world.process(*verb, target, &self.variables).await
            }
            Action::Link(fault, link) => self.world.link(*fault, link, &self.variables).await,
            Action::Lead(member) => {
                let number = self.world.member(member, &self.variables).await?;
                self.world.cluster.move_leader(number).await;
                Ok(())
            }
            Action::Renew => {
                self.world.renew_certificates();
                Ok(())
            }
            background => self.background(background).await,
        }
    }

    async fn background(&mut self, action: &Action) -> Result<(), Failure> {
        match action {
            Action::Start(label, started) => self.start(label, started).await,
            Action::Pending(label) => self.running(label).expect_pending(),
            Action::Cancel(label) => {
                let running = self.running(label);
                let arguments = json!({"id": running.request()});
                let sent = running.subject.send("cancel", arguments).reply();
                // The reply to `cancel` itself says nothing.
                let replied = timeout(PATIENCE, sent).await;
                let late = |_| Failure::new("`cancel` itself is not answered");
                replied.map_err(late)?.map(drop)
            }
            Action::Reaches(label, count) => {
                let count = self.variables.sum(std::slice::from_ref(count));
                self.running(label)
                    .reach(count.as_u64().unwrap_or_default())
                    .await
            }
            Action::Finish(label, expected) => self.finish(label, expected).await,
            Action::Stop(label, expected) => {
                self.running(label).stop();
                self.finish(label, expected).await
            }
            _ => Err(Failure::new("the step is not supported here")),
        }
    }

    fn running(&self, label: &str) -> &Background {
        &self.running[label]
    }

    /// Makes one call, and compares its outcome.
    async fn call(&mut self, call: &Call) -> Result<(), Failure> {
        let arguments = self.arguments(call).await?;
        let limit = call
            .expected
            .within
            .unwrap_or(limit(call.operation, &arguments));
        let begin = Instant::now();
        let made = timeout(limit + POLL, self.make(call, &arguments));
        let late = |_| Failure::new(format!("no answer within {limit:?}"));
        let reply = made.await.map_err(late)??;
        judge(&call.expected, &reply, begin.elapsed(), &mut self.variables)?;
        self.remember_client(call, &arguments, &reply);
        Ok(())
    }

    async fn make(&self, call: &Call, arguments: &Value) -> Result<Reply, Failure> {
        match (call.subject.as_str(), call.operation.name) {
            (DRIVER, "finds") => self.finds(arguments).await,
            (DRIVER, name) => direct::call(&self.world, name, arguments).await,
            (subject, name) => {
                let sent = self.world.subject(subject)?.send(name, arguments.clone());
                sent.reply().await
            }
        }
    }

    /// Notes what has to be closed at the end.
    fn remember_client(&mut self, call: &Call, arguments: &Value, reply: &Reply) {
        let Some(party) = self.world.parties.get_mut(&call.subject) else {
            return;
        };
        let name = |argument: &str| shown(&arguments[argument]);
        match call.operation.name {
            "client.open" if reply.is_ok() => party.clients.push(name("as")),
            "client.close" => party.clients.retain(|client| *client != name("client")),
            _ => {}
        }
    }

    /// The arguments of a call as JSON.
    async fn arguments(&self, call: &Call) -> Result<Value, Failure> {
        let mut arguments = serde_json::Map::new();
        for (name, text) in &call.arguments {
            let kind = call.operation.kind_of(name).expect("the parser knows it");
            let value = self.variables.argument(kind, text).map_err(Failure::new)?;
            arguments.insert(name.clone(), value);
        }
        let lists_endpoints = call.operation.kind_of("endpoints") == Some(Kind::Endpoints);
        if lists_endpoints {
            let list = arguments
                .get("endpoints")
                .map_or("members".to_owned(), shown);
            let urls = self.world.endpoints(&call.subject, &list, &self.variables);
            arguments.insert("endpoints".to_owned(), urls.await?);
        }
        Ok(arguments.into())
    }

    async fn until(&mut self, call: &Call) -> Result<(), Failure> {
        let deadline = Instant::now() + call.expected.within.unwrap_or(PATIENCE);
        let expected = Expected {
            within: None,
            ..call.expected.clone()
        };
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let arguments = self.arguments(call).await?;
            let begin = Instant::now();
            let made = within("a call", self.make(call, &arguments)).await?;
            let judged = judge(&expected, &made, begin.elapsed(), &mut self.variables);
            match judged {
                Ok(()) => return Ok(()),
                Err(failure) if Instant::now() > deadline => return Err(failure),
                Err(_) => ticks.tick().await,
            };
        }
    }

    async fn event(&mut self, event: &Event) -> Result<(), Failure> {
        let limit = event.within.unwrap_or(PATIENCE);
        let deadline = tokio::time::Instant::now() + limit;
        let mut passed = Vec::new();
        loop {
            let subject = self.world.subject(&event.subject)?;
            let next = tokio::time::timeout_at(deadline, subject.event(&event.handle)).await;
            let Ok(found) = next else {
                let passed = passed.join(", ");
                return Err(Failure::new(format!(
                    "no such event within {limit:?}: {passed}"
                )));
            };
            if let Some(error) = found.get("error") {
                reply::expect_sound(&Err(error.clone()))?;
            }
            let mut fields = event.fields.iter();
            match fields.try_for_each(|field| self.variables.check(field, &found)) {
                Ok(()) => return Ok(()),
                Err(_) if event.is_later => passed.push(found.to_string()),
                Err(error) => return Err(Failure::new(format!("{error}: {found}"))),
            }
        }
    }

    async fn quiet(&self, subject: &str, handle: &str, time: Duration) -> Result<(), Failure> {
        let subject = self.world.subject(subject)?;
        match timeout(time, subject.event(handle)).await {
            Ok(event) => Err(Failure::new(format!("an event: {event}"))),
            Err(_) => Ok(()),
        }
    }

    fn check(&self, left: &[String], relation: Relation, right: &[String]) -> Result<(), Failure> {
        let (left, right) = (self.variables.sum(left), self.variables.sum(right));
        match compares(&left, relation, &shown(&right)) {
            true => Ok(()),
            false => Err(Failure::new(format!("{left} and {right}"))),
        }
    }

    async fn set(&mut self, name: &str, words: &[String]) -> Result<(), Failure> {
        let value = match words {
            [word] if word == "leader" || word == "follower" => {
                self.world.member(word, &self.variables).await?.into()
            }
            words => self.variables.sum(words),
        };
        self.variables.set(name, value);
        Ok(())
    }

    async fn start(&mut self, label: &str, started: &Loop) -> Result<(), Failure> {
        let call = &started.call;
        if call.subject == DRIVER {
            return Err(Failure::new("the driver has no background calls"));
        }
        let subject = self.world.subject(&call.subject)?;
        let background = match started.times {
            Times::Once => {
                let arguments = self.arguments(call).await?;
                Background::once(subject, call.operation.name, arguments)
            }
            times => Background::repeated(subject, call, times, self.variables.clone()),
        };
        self.running.insert(label.to_owned(), background);
        Ok(())
    }

    async fn finish(&mut self, label: &str, expected: &Expected) -> Result<(), Failure> {
        let running = self.running.remove(label).expect("the parser knows it");
        let limit = expected.within.unwrap_or(PATIENCE * 3);
        let begin = Instant::now();
        let late = |_| Failure::new(format!("it has not ended within {limit:?}"));
        let Ended { reply, records } = timeout(limit, running.end()).await.map_err(late)??;
        self.records.insert(label.to_owned(), records);
        judge(expected, &reply, begin.elapsed(), &mut self.variables)
    }

    /// Looks for every acknowledged put of a loop.
    async fn finds(&self, arguments: &Value) -> Result<Reply, Failure> {
        let label = shown(&arguments["what"]);
        let records = &self.records[&label];
        let everything = direct::call(&self.world, "list", &json!({"prefix": ""})).await?;
        let everything = everything.map_err(|error| Failure::new(error.to_string()))?;
        let found: BTreeMap<_, _> = everything["kvs"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|kv| (shown(&kv["key"]), shown(&kv["value"])))
            .collect();
        for (key, value) in records {
            if found.get(key) != Some(value) {
                let error = format!("{key}={value} was acknowledged and is {:?}", found.get(key));
                return Err(Failure::new(error));
            }
        }
        Ok(Ok(json!({"count": records.len()})))
    }
}

/// Time limit of a call whose step names none.
fn limit(operation: &Operation, arguments: &Value) -> Duration {
    match (arguments["deadline"].as_f64(), operation.waits) {
        (None, true) => PATIENCE,
        (deadline, _) => {
            let deadline = deadline.unwrap_or(DEADLINE).max(0.0);
            Duration::from_secs_f64(deadline) + LATENESS
        }
    }
}
