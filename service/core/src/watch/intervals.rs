//! Interval tree: finds the key ranges that contain a key.
//!
//! The tree is a treap ordered by (start, end), in which every node stores the greatest end in its
//! subtree. A search skips a subtree that ends before the key and everything that starts after it,
//! so it visits O(log n) nodes for each range it finds. A treap is simple: it needs only split and
//! merge, with no case distinctions and no parent links. The priorities come from a counter through
//! a mixing function, not from the ranges, so clients cannot choose them, and a run is repeatable.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::seed::SplitMix64;

const NIL: u32 = u32::MAX;

/// End of a range: before a key, or never. "Never" is the greatest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Before this key.
    Before(Bytes),
    /// After every key.
    Never,
}

impl End {
    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            End::Before(end) => key < &end[..],
            End::Never => true,
        }
    }
}

impl Ord for End {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (End::Before(a), End::Before(b)) => a.cmp(b),
            (End::Before(_), End::Never) => Ordering::Less,
            (End::Never, End::Before(_)) => Ordering::Greater,
            (End::Never, End::Never) => Ordering::Equal,
        }
    }
}

impl PartialOrd for End {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A range of keys: from the first key, included, to the end.
pub(crate) type Interval = (Bytes, End);

/// A map from interval to number that also finds all intervals around a key.
#[derive(Debug)]
pub(crate) struct Intervals {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
    priorities: SplitMix64,
}

#[derive(Debug)]
struct Node {
    interval: Interval,
    number: usize,
    /// Greatest end in the subtree.
    reach: End,
    priority: u64,
    left: u32,
    right: u32,
}

impl Default for Intervals {
    fn default() -> Self {
        Intervals {
            nodes: Vec::new(),
            free: Vec::new(),
            root: NIL,
            priorities: SplitMix64::new(0),
        }
    }
}

impl Intervals {
    /// Returns the number of an interval.
    pub(crate) fn get(&self, interval: &Interval) -> Option<usize> {
        let mut at = self.root;
        while at != NIL {
            let node = self.node(at);
            at = match interval.cmp(&node.interval) {
                Ordering::Less => node.left,
                Ordering::Greater => node.right,
                Ordering::Equal => return Some(node.number),
            };
        }
        None
    }

    /// Adds an interval, which must not be in the tree.
    pub(crate) fn insert(&mut self, interval: Interval, number: usize) {
        assert!(self.get(&interval).is_none(), "an interval has one number");
        let (below, above) = self.split(self.root, &interval);
        let node = Node {
            reach: interval.1.clone(),
            interval,
            number,
            priority: self.priorities.next(),
            left: NIL,
            right: NIL,
        };
        let at = if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("memory ends before positions do")
        };
        let below = self.merge(below, at);
        self.root = self.merge(below, above);
    }

    /// Removes an interval, which must be in the tree.
    pub(crate) fn remove(&mut self, interval: &Interval) {
        self.root = self.without(self.root, interval);
    }

    /// Appends the number of every interval that contains `key` to `found`.
    pub(crate) fn find(&self, key: &[u8], found: &mut Vec<usize>) {
        self.find_below(self.root, key, found);
    }

    fn find_below(&self, at: u32, key: &[u8], found: &mut Vec<usize>) {
        if at == NIL {
            return;
        }
        let node = self.node(at);
        if !node.reach.is_after(key) {
            return;
        }
        self.find_below(node.left, key, found);
        if node.interval.0[..] <= *key {
            if node.interval.1.is_after(key) {
                found.push(node.number);
            }
            self.find_below(node.right, key, found);
        }
    }

    /// Splits the subtree at `at` into the intervals less than `interval` and the rest.
    fn split(&mut self, at: u32, interval: &Interval) -> (u32, u32) {
        if at == NIL {
            return (NIL, NIL);
        }
        if self.node(at).interval < *interval {
            let (below, above) = self.split(self.node(at).right, interval);
            self.node_mut(at).right = below;
            self.update(at);
            (at, above)
        } else {
            let (below, above) = self.split(self.node(at).left, interval);
            self.node_mut(at).left = above;
            self.update(at);
            (below, at)
        }
    }

    /// Joins two trees; everything in `below` is less than everything in `above`.
    fn merge(&mut self, below: u32, above: u32) -> u32 {
        if below == NIL {
            return above;
        }
        if above == NIL {
            return below;
        }
        if self.node(below).priority > self.node(above).priority {
            self.node_mut(below).right = self.merge(self.node(below).right, above);
            self.update(below);
            below
        } else {
            self.node_mut(above).left = self.merge(below, self.node(above).left);
            self.update(above);
            above
        }
    }

    fn without(&mut self, at: u32, interval: &Interval) -> u32 {
        assert!(at != NIL, "only intervals that are there are removed");
        match interval.cmp(&self.node(at).interval) {
            Ordering::Less => {
                self.node_mut(at).left = self.without(self.node(at).left, interval);
            }
            Ordering::Greater => {
                self.node_mut(at).right = self.without(self.node(at).right, interval);
            }
            Ordering::Equal => {
                let merged = self.merge(self.node(at).left, self.node(at).right);
                // A free node must not keep a client's buffer alive.
                self.node_mut(at).interval = (Bytes::new(), End::Never);
                self.node_mut(at).reach = End::Never;
                self.free.push(at);
                return merged;
            }
        }
        self.update(at);
        at
    }

    fn update(&mut self, at: u32) {
        let node = self.node(at);
        let mut reach = &node.interval.1;
        for child in [node.left, node.right] {
            if child != NIL {
                reach = reach.max(&self.node(child).reach);
            }
        }
        if *reach != node.reach {
            let reach = reach.clone();
            self.node_mut(at).reach = reach;
        }
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Bytes {
        Bytes::from(format!("{number:03}"))
    }

    /// Every search returns the same as checking each interval, while intervals are added and
    /// removed.
    #[test]
    fn finds_what_brute_force_finds() {
        let mut tree = Intervals::default();
        let mut model: Vec<(Interval, usize)> = Vec::new();
        let mut dice = SplitMix64::new(0);
        let mut roll = |sides: u64| dice.next() % sides;
        for number in 0..3000 {
            if roll(3) == 0 && !model.is_empty() {
                let (interval, _) = model.swap_remove(roll(model.len() as u64) as usize);
                tree.remove(&interval);
            } else {
                let start = roll(200);
                let end = if roll(10) == 0 {
                    End::Never
                } else {
                    End::Before(key(start + 1 + roll(20)))
                };
                let interval = (key(start), end);
                if tree.get(&interval).is_none() {
                    tree.insert(interval.clone(), number);
                    model.push((interval, number));
                }
            }
            let wanted = key(roll(230));
            let mut found = Vec::new();
            tree.find(&wanted, &mut found);
            found.sort_unstable();
            let mut expected: Vec<usize> = model
                .iter()
                .filter(|((start, end), _)| *start <= wanted && end.is_after(&wanted))
                .map(|(_, number)| *number)
                .collect();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
        assert!(model.len() > 500, "the test has become trivial");
    }

    /// A hundred thousand neighbours in order, the worst case of a tree without balance: the depth
    /// stays logarithmic, or this would overflow the stack.
    #[test]
    fn sorted_input_stays_shallow() {
        let mut tree = Intervals::default();
        for number in 0..100_000_usize {
            let start = Bytes::from(format!("{number:06}"));
            let end = End::Before(Bytes::from(format!("{:06}", number + 1)));
            tree.insert((start, end), number);
        }
        let mut found = Vec::new();
        tree.find(b"054321x", &mut found);
        assert_eq!(found, [54_321]);
    }
}
