//! One election of clients in all languages, whose leaders are killed, paused and resign again and
//! again, while members are killed, too (K6, K1, S2, S3).
//!
//! Three things must hold all the time. Leaders follow each other in the order of the keys of the
//! contenders. A leader's token is the create revision of its key, greater than all before. A write
//! guarded by a token takes effect while its owner leads, and never afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::wait::eventually_by;
use harness::{history, within};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::script::{Script, Target, Verb};
use crate::subject::Reply;
use crate::values::Variables;
use crate::world::World;
use crate::{direct, ending, languages, reply};

/// Each kind of fault comes twice. `CONCLAVE_SUCCESSION_ROUNDS=40` makes the run longer: twenty
/// leaders' processes are killed in it.
const ROUNDS: u64 = 8;

/// Seconds. A contender that waits must not lose its session because the machine is busy.
const TTL: u64 = 5;

/// A lease expires late on a busy machine, and later when leaders of the cluster change.
const SUCCESSION: Duration = Duration::from_secs(60);

const NAMES: [&str; 5] = ["A", "B", "C", "D", "E"];

#[test]
fn leaders_of_all_languages_follow_each_other() {
    harness::run(async {
        let found = languages::find_all().await;
        if found.is_empty() {
            eprintln!("skipped: no language's subject is there");
            return;
        }
        let script = Script {
            members: 3,
            subjects: NAMES.map(str::to_owned).into(),
            ..Script::default()
        };
        let world = World::start(&script, &found).await;
        let world = world.unwrap_or_else(|failure| panic!("{failure}"));
        let mut race = Race {
            world,
            contenders: BTreeMap::new(),
            leaders: Vec::new(),
            entered: 0,
        };
        let ran = race.run().await;
        let transcripts = race.world.transcripts();
        drop(race);
        ran.unwrap_or_else(|failure| panic!("{failure}\n{transcripts}"));
    });
}

struct Race {
    world: World,
    contenders: BTreeMap<String, Contender>,
    /// The leaders so far.
    leaders: Vec<Leader>,
    /// Number of entries so far. The objects of a contender have this number in their names.
    entered: u64,
}

/// A subject that campaigns with its client `cN` and the session `sN`, for the election `eN`.
struct Contender {
    number: u64,
    /// `None` once it leads.
    campaign: Option<JoinHandle<Result<Reply, Failure>>>,
}

#[derive(Clone, Debug)]
struct Leader {
    name: String,
    number: u64,
    key: String,
    token: i64,
}

impl Race {
    async fn run(&mut self) -> Result<(), Failure> {
        for name in NAMES {
            self.enter(name).await?;
        }
        let rounds = harness::variable("CONCLAVE_SUCCESSION_ROUNDS").unwrap_or(ROUNDS);
        for round in 0..rounds {
            let leader = self.next_leader().await?;
            eprintln!("round {round}: {leader:?}");
            self.expect_fenced(&leader, round).await?;
            self.depose(&leader, round).await?;
        }
        self.expect_writes_in_order(rounds).await;
        ending::end(&mut self.world).await
    }

    /// Sends a request and waits for its reply.
    async fn call(&self, name: &str, operation: &str, arguments: Value) -> Result<Reply, Failure> {
        let sent = self.world.subject(name)?.send(operation, arguments).reply();
        let replied = within(operation, sent).await?;
        reply::expect_sound(&replied)?;
        Ok(replied)
    }

    /// [`Race::call`] for one that must succeed.
    async fn ask(&self, name: &str, operation: &str, arguments: Value) -> Result<Value, Failure> {
        let replied = self.call(name, operation, arguments).await?;
        replied.map_err(|error| Failure::new(format!("{name}: {operation}: {error}")))
    }

    /// Opens a client and a session, and campaigns in the background.
    async fn enter(&mut self, name: &str) -> Result<(), Failure> {
        self.entered += 1;
        let number = self.entered;
        let (client, session) = (format!("c{number}"), format!("s{number}"));
        let none = Variables::default();
        let urls = self.world.endpoints(name, "members", &none);
        let arguments = json!({"as": client, "endpoints": urls.await?, "timeout": 10});
        self.ask(name, "client.open", arguments).await?;
        let party = self.world.parties.get_mut(name).expect("it is a contender");
        party.clients.push(client.clone());
        let arguments = json!({"client": client, "as": session, "ttl": TTL});
        let opened = self.ask(name, "session.open", arguments).await?;
        let key = format!("e/{}", opened["lease"].as_str().unwrap_or_default());
        let election = format!("e{number}");
        let arguments = json!({"session": session, "as": election, "name": "e", "value": name});
        let sent = self
            .world
            .subject(name)?
            .send("election.campaign", arguments);
        let campaign = Some(tokio::spawn(sent.reply()));
        self.contenders
            .insert(name.to_owned(), Contender { number, campaign });
        // The next one comes behind it.
        harness::eventually("a place in the election", || async {
            let found = direct::call(&self.world, "get", &json!({"key": key})).await;
            (found.ok()?.ok()?["found"] == true).then_some(())
        })
        .await;
        Ok(())
    }

    /// Waits until a campaign ends: the contender's name, and what came of it.
    async fn next_end(&mut self) -> Result<(String, Reply), Failure> {
        let deadline = Instant::now() + SUCCESSION;
        let name = eventually_by(deadline, "another leader", || async {
            let won = self.contenders.iter().find(|(_, contender)| {
                let campaign = contender.campaign.as_ref();
                campaign.is_some_and(JoinHandle::is_finished)
            });
            won.map(|(name, _)| name.clone())
        })
        .await;
        let contender = self.contenders.get_mut(&name).expect("found above");
        let campaign = contender.campaign.take().expect("found above");
        let reply = campaign.await.expect("it does not panic")?;
        Ok((name, reply))
    }

    /// Waits until a contender leads, and checks that it is the one whose turn it is.
    async fn next_leader(&mut self) -> Result<Leader, Failure> {
        let (name, won) = loop {
            match self.next_end().await? {
                (name, Ok(won)) => break (name, won),
                // On a very busy machine a session can end while it waits, as the contract says.
                (name, Err(error)) if error["kind"] == "session_lost" => self.enter(&name).await?,
                (name, Err(error)) => {
                    return Err(Failure::new(format!("{name} lost its turn: {error}")));
                }
            }
        };
        let number = self.contenders[&name].number;
        let leader = Leader {
            key: won["key"].as_str().unwrap_or_default().to_owned(),
            token: won["token"].as_i64().unwrap_or_default(),
            number,
            name,
        };
        let listed = direct::call(&self.world, "list", &json!({"prefix": "e/"})).await?;
        let listed = listed.map_err(|error| Failure::new(error.to_string()))?;
        let first = &listed["kvs"][0];
        let is_first = first["key"] == *leader.key && first["create_revision"] == leader.token;
        if !is_first {
            let error = format!("{leader:?} believes to lead, and the keys are {listed}");
            return Err(Failure::new(error));
        }
        if let Some(last) = self
            .leaders
            .last()
            .filter(|last| last.token >= leader.token)
        {
            return Err(Failure::new(format!("{leader:?} follows {last:?}")));
        }
        self.leaders.push(leader.clone());
        Ok(leader)
    }

    /// Only the present leader's token permits writes.
    async fn expect_fenced(&self, leader: &Leader, round: u64) -> Result<(), Failure> {
        for holder in &self.leaders {
            // A token is a number that anybody can have kept.
            let arguments = json!({
                "client": format!("c{}", leader.number), "owner": holder.key, "token": holder.token,
                "key": "work", "value": format!("{}", holder.token),
            });
            let wrote = self.ask(&leader.name, "owner.put", arguments).await?;
            let may = holder.token == leader.token;
            if wrote["succeeded"] != may {
                let error = format!("round {round}: {holder:?} wrote under {leader:?}: {wrote}");
                return Err(Failure::new(error));
            }
        }
        Ok(())
    }

    /// Ends a leadership in one of four ways, and has its process contend again.
    async fn depose(&mut self, leader: &Leader, round: u64) -> Result<(), Failure> {
        let variables = Variables::default();
        let process = Target::Subject(leader.name.clone());
        let member = Target::Member(self.world.member("leader", &variables).await?.to_string());
        match round % 4 {
            0 => {
                self.world.process(Verb::Kill, &process, &variables).await?;
                self.world
                    .process(Verb::Restart, &process, &variables)
                    .await?;
            }
            1 => {
                self.world.process(Verb::Kill, &process, &variables).await?;
                self.world.process(Verb::Kill, &member, &variables).await?;
                self.world.cluster.leader().await;
                self.world
                    .process(Verb::Restart, &member, &variables)
                    .await?;
                self.world
                    .process(Verb::Restart, &process, &variables)
                    .await?;
            }
            2 => {
                self.world
                    .process(Verb::Pause, &process, &variables)
                    .await?;
                self.expect_gone(&leader.key).await;
                self.world
                    .process(Verb::Resume, &process, &variables)
                    .await?;
                let subject = self.world.subject(&leader.name)?;
                let election = format!("e{}", leader.number);
                let lost = within("the loss of a leadership", subject.event(&election));
                let lost = lost.await;
                if lost["type"] != "lost" {
                    return Err(Failure::new(format!("{leader:?}: {lost}")));
                }
            }
            _ => {
                self.world.process(Verb::Kill, &member, &variables).await?;
                let arguments = json!({"election": format!("e{}", leader.number), "deadline": 15});
                self.ask(&leader.name, "election.resign", arguments).await?;
                self.world
                    .process(Verb::Restart, &member, &variables)
                    .await?;
            }
        }
        self.enter(&leader.name).await
    }

    async fn expect_gone(&self, key: &str) {
        let deadline = Instant::now() + SUCCESSION;
        eventually_by(deadline, "a lease to expire", || async {
            let found = direct::call(&self.world, "get", &json!({"key": key})).await;
            (found.ok()?.ok()?["found"] == false).then_some(())
        })
        .await;
    }

    /// The tokens that wrote, in the order of revisions, never go back.
    async fn expect_writes_in_order(&self, rounds: u64) {
        let through = self.world.cluster.alive()[0];
        let last = self.world.cluster.expect_same_history().await;
        let events = history::follow::tell_all(self.world.cluster.endpoint(through), last).await;
        let of_work = events.iter().filter(|event| event.key == "work");
        let tokens: Vec<i64> = of_work
            .filter_map(|event| event.put.as_ref()?.value.parse().ok())
            .collect();
        assert!(tokens.is_sorted(), "guarded writes: {tokens:?}");
        assert!(tokens.len() as u64 >= rounds, "guarded writes: {tokens:?}");
    }
}
