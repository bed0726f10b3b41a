//! Plans the steps of a sequence from its seed alone.

use std::collections::BTreeMap;
use std::fmt;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

/// Limit of concurrent members, the learner included.
const MEMBERS_MAX: usize = 6;
const STEPS_MIN: usize = 6;
const STEPS_MAX: usize = 14;
/// Number of puts after which the log is compacted.
const MANY: usize = 60;

/// One change of the cluster. Members have numbers in the order of joining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add { through: usize },
    AddLearner { through: usize },
    Promote { number: usize, through: usize },
    Remove { number: usize, through: usize },
    Readdress { number: usize, through: usize },
    Kill { number: usize },
    Stop { number: usize },
    Start { number: usize },
    Lead { number: usize },
    Write { count: usize },
    Blackout { survivors: Vec<usize> },
}

/// A planned sequence.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) founders: usize,
    /// Each step with a voter that is up after it, to send requests through.
    pub(super) steps: Vec<(Step, usize)>,
    /// The voters at the end.
    pub(super) voters: Vec<usize>,
    pub(super) down: Vec<usize>,
    /// The voters to kill after the last step, which the others must survive.
    pub(super) lost: Vec<usize>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} founders", self.founders)?;
        for (step, _) in &self.steps {
            write!(f, ", {step:?}")?;
        }
        write!(f, "; then start {:?}, lose {:?}", self.down, self.lost)
    }
}

/// A member's planned state.
#[derive(Clone, Copy, Debug)]
struct Planned {
    votes: bool,
    is_up: bool,
}

struct Planner {
    random: StdRng,
    members: BTreeMap<usize, Planned>,
    /// The next number to assign.
    next: usize,
    /// The member that stays away for long.
    traveller: Option<usize>,
    steps: Vec<Step>,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Plan {
        let mut random = StdRng::seed_from_u64(seed);
        let founders = *[1, 2, 3, 3, 3].choose(&mut random).unwrap();
        let length = random.random_range(STEPS_MIN..=STEPS_MAX);
        let up = Planned {
            votes: true,
            is_up: true,
        };
        let mut planner = Planner {
            random,
            members: (0..founders).map(|number| (number, up)).collect(),
            next: founders,
            traveller: None,
            steps: Vec::new(),
        };
        let mut steps = Vec::new();
        while steps.len() < length {
            planner.step();
            let writer = planner.through(usize::MAX).expect("a majority is up");
            steps.extend(planner.steps.drain(..).map(|step| (step, writer)));
        }
        let voters = planner.pick(|planned| planned.votes);
        let down = planner.pick(|planned| !planned.is_up);
        // The member that was away longest must be among the survivors.
        let mut lost = voters.clone();
        lost.retain(|number| Some(*number) != planner.traveller);
        lost.shuffle(&mut planner.random);
        lost.truncate((voters.len() - 1) / 2);
        Plan {
            seed,
            founders,
            steps,
            voters,
            down,
            lost,
        }
    }
}

fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

impl Planner {
    fn pick(&self, is_wanted: impl Fn(&Planned) -> bool) -> Vec<usize> {
        let wanted = self
            .members
            .iter()
            .filter(|(_, planned)| is_wanted(planned));
        wanted.map(|(&number, _)| number).collect()
    }

    fn one(&mut self, is_wanted: impl Fn(&Planned) -> bool) -> Option<usize> {
        self.pick(is_wanted).choose(&mut self.random).copied()
    }

    /// Returns true if the members that are up have a quorum, with this many more voters, and more
    /// of them up.
    fn survives(&self, more_voters: isize, more_up: isize) -> bool {
        let count = |numbers: Vec<usize>| numbers.len() as isize;
        let voters = count(self.pick(|one| one.votes)) + more_voters;
        let up = count(self.pick(|one| one.votes && one.is_up)) + more_up;
        voters > 0 && up >= majority(voters as usize) as isize
    }

    /// A voter that is up, other than `but`.
    fn through(&mut self, but: usize) -> Option<usize> {
        let mut up = self.pick(|one| one.votes && one.is_up);
        up.retain(|&number| number != but);
        up.choose(&mut self.random).copied()
    }

    /// Draws a step, and takes it if it is possible.
    fn step(&mut self) {
        let none = usize::MAX;
        match self.random.random_range(0..100) {
            0..22 => self.add(),
            22..32 => self.add_learner(),
            32..40 => self.promote(),
            40..56 => self.remove(),
            56..66 => self.readdress(),
            66..80 => self.stop(),
            80..86 => self.start(),
            86..92 => {
                if let Some(number) = self.through(none) {
                    self.steps.push(Step::Lead { number });
                }
            }
            92..97 => {
                let count = *[1, 5, MANY].choose(&mut self.random).unwrap();
                self.steps.push(Step::Write { count });
            }
            _ => self.blackout(),
        }
    }

    fn join(&mut self, votes: bool) -> usize {
        let number = self.next;
        self.next += 1;
        let is_up = true;
        self.members.insert(number, Planned { votes, is_up });
        number
    }

    fn add(&mut self) {
        // A cluster of one may grow although it has no quorum until the second member has started.
        let is_possible = self.survives(1, 0) || self.members.len() == 1;
        if self.members.len() >= MEMBERS_MAX || !is_possible {
            return;
        }
        let Some(through) = self.through(usize::MAX) else {
            return;
        };
        self.steps.push(Step::Add { through });
        let number = self.join(true);
        // A leader that joined recently is unknown to members that were away.
        if self.random.random_bool(0.4) {
            self.steps.push(Step::Lead { number });
        }
    }

    /// Adds a learner. There can be one at most: etcd's default.
    fn add_learner(&mut self) {
        let has_learner = !self.pick(|one| !one.votes).is_empty();
        if self.members.len() >= MEMBERS_MAX || has_learner {
            return;
        }
        if let Some(through) = self.through(usize::MAX) {
            self.steps.push(Step::AddLearner { through });
            self.join(false);
        }
    }

    fn promote(&mut self) {
        let Some(number) = self.one(|one| !one.votes && one.is_up) else {
            return;
        };
        if !self.survives(1, 1) {
            return;
        }
        let Some(through) = self.through(number) else {
            return;
        };
        self.steps.push(Step::Promote { number, through });
        self.members.get_mut(&number).unwrap().votes = true;
    }

    fn remove(&mut self) {
        let Some(number) = self.one(|_| true) else {
            return;
        };
        let Planned { votes, is_up } = self.members[&number];
        let stays = Some(number) == self.traveller && self.random.random_bool(0.9);
        let survives = !votes || self.survives(-1, -isize::from(is_up));
        if stays || !survives {
            return;
        }
        if let Some(through) = self.through(number) {
            self.steps.push(Step::Remove { number, through });
            self.members.remove(&number);
        }
    }

    fn readdress(&mut self) {
        let Some(number) = self.one(|_| true) else {
            return;
        };
        if let Some(through) = self.through(number) {
            self.steps.push(Step::Readdress { number, through });
        }
    }

    fn stop(&mut self) {
        let Some(number) = self.one(|one| one.is_up) else {
            return;
        };
        if self.members[&number].votes && !self.survives(0, -1) {
            return;
        }
        self.traveller.get_or_insert(number);
        self.members.get_mut(&number).unwrap().is_up = false;
        let is_kill = self.random.random_bool(0.5);
        self.steps.push(match is_kill {
            true => Step::Kill { number },
            false => Step::Stop { number },
        });
    }

    fn start(&mut self) {
        let Some(number) = self.one(|one| !one.is_up) else {
            return;
        };
        if Some(number) == self.traveller && self.random.random_bool(0.8) {
            return;
        }
        self.members.get_mut(&number).unwrap().is_up = true;
        self.steps.push(Step::Start { number });
    }

    /// Restarts a majority. At least one of it was up before, so it has everything that is
    /// committed.
    fn blackout(&mut self) {
        let Some(first) = self.one(|one| one.votes && one.is_up) else {
            return;
        };
        let mut voters = self.pick(|one| one.votes);
        voters.shuffle(&mut self.random);
        voters.retain(|&number| number != first);
        voters.insert(0, first);
        voters.truncate(majority(voters.len()));
        for (number, planned) in &mut self.members {
            planned.is_up = voters.contains(number);
        }
        let survivors = voters;
        self.steps.push(Step::Blackout { survivors });
    }
}
