//! The part of a request that a line shows: keys, a lease, names. Never a value, a
//! password, a hash or a token: there is no way to put one in but to name it here.
//!
//! Everything is copied and bounded. A line that waits for the writer costs no more than
//! [`BYTES_MAX`] and some hundred bytes, whatever the client sent.

use serde_json::{Map, Value};

use super::text::Cut;
use crate::config::url_without_userinfo;

/// Keys and ranges of a request that a line shows.
const KEYS_MAX: usize = 16;
/// Bytes of a key, of the end of a range, of a name, that a line shows.
const KEY_BYTES_MAX: usize = 256;
/// Bytes of all keys and names together.
const BYTES_MAX: usize = 2048;
/// URLs that a line shows.
const URLS_MAX: usize = 8;

/// Nested transactions whose branches a line shows.
const NESTING_MAX: usize = 8;
/// Outcomes of nested transactions that a line shows.
const FLAGS_MAX: usize = 16;

/// The part of a transaction that a key is in: `success` if it is executed when the comparisons
/// hold, `failure` if it is when they do not, `success.failure` in a nested one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Branch {
    path: String,
    depth: usize,
}

impl Branch {
    /// Returns a branch of a transaction in this one.
    pub(crate) fn of(&self, is_success: bool) -> Branch {
        let mut path = self.path.clone();
        if self.depth < NESTING_MAX {
            path.push_str(if self.depth == 0 { "" } else { "." });
            path.push_str(if is_success { "success" } else { "failure" });
        } else if self.depth == NESTING_MAX {
            path.push_str(".deeper");
        }
        let depth = self.depth + 1;
        Branch { path, depth }
    }
}

/// Operation of a transaction on a key.
#[derive(Clone, Debug)]
struct Step {
    op: &'static str,
    branch: Branch,
}

#[derive(Clone, Debug)]
struct Keys {
    step: Option<Step>,
    key: Cut,
    /// `None` for a single key.
    end: Option<Cut>,
    lease: i64,
}

/// Keys, lease and names of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    keys: Vec<Keys>,
    /// Keys and ranges beyond the bounds.
    more_keys: usize,
    lease: i64,
    details: Vec<(&'static str, Detail)>,
    bytes: usize,
    reads_only: bool,
}

#[derive(Clone, Debug)]
enum Detail {
    Text(Cut),
    Texts(Vec<Cut>),
    Number(i64),
    Word(&'static str),
    Flag(bool),
    Flags(Vec<bool>),
}

impl Content {
    /// Adds a key, or a range if `end` is not empty.
    pub(crate) fn keys(&mut self, key: &[u8], end: &[u8]) {
        self.add_keys(None, key, end, 0);
    }

    /// Adds what a step of a transaction is about.
    pub(crate) fn step(
        &mut self,
        op: &'static str,
        branch: &Branch,
        key: &[u8],
        end: &[u8],
        lease: i64,
    ) {
        self.add_keys(Some((op, branch)), key, end, lease);
    }

    fn add_keys(
        &mut self,
        step: Option<(&'static str, &Branch)>,
        key: &[u8],
        end: &[u8],
        lease: i64,
    ) {
        if self.keys.len() >= KEYS_MAX || self.bytes >= BYTES_MAX {
            self.more_keys += 1;
            return;
        }
        let key = self.cut(key);
        let end = (!end.is_empty()).then(|| self.cut(end));
        let step = step.map(|(op, branch)| Step {
            op,
            branch: branch.clone(),
        });
        self.keys.push(Keys {
            step,
            key,
            end,
            lease,
        });
    }

    /// Sets the lease; zero is none.
    pub(crate) fn lease(&mut self, id: i64) {
        self.lease = id;
    }

    /// Adds a name.
    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        let text = Detail::Text(self.cut(text.as_bytes()));
        self.details.push((name, text));
    }

    /// Adds URLs. What stands before an `@` may be a password, and is left out.
    pub(crate) fn urls(&mut self, name: &'static str, urls: &[String]) {
        let shown = urls.iter().take(URLS_MAX);
        let shown = shown.map(|url| self.cut(url_without_userinfo(url).as_bytes()));
        let texts = Detail::Texts(shown.collect());
        self.details.push((name, texts));
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: &'static str, number: i64) {
        self.details.push((name, Detail::Number(number)));
    }

    /// Adds an id, as operators see it.
    pub(crate) fn id(&mut self, name: &'static str, id: u64) {
        let id = Cut::new(format!("{id:x}").as_bytes(), KEY_BYTES_MAX);
        self.details.push((name, Detail::Text(id)));
    }

    /// Adds one of a few words.
    pub(crate) fn word(&mut self, name: &'static str, word: &'static str) {
        self.details.push((name, Detail::Word(word)));
    }

    /// Adds a yes or no.
    pub(crate) fn flag(&mut self, name: &'static str, flag: bool) {
        self.details.push((name, Detail::Flag(flag)));
    }

    /// Adds several of them, if there are any.
    pub(crate) fn flags(&mut self, name: &'static str, mut flags: Vec<bool>) {
        flags.truncate(FLAGS_MAX);
        if !flags.is_empty() {
            self.details.push((name, Detail::Flags(flags)));
        }
    }

    /// Says that this request changes nothing, although others of its method do.
    pub(crate) fn reads_only(&mut self) {
        self.reads_only = true;
    }

    pub(super) fn is_read(&self) -> bool {
        self.reads_only
    }

    fn cut(&mut self, bytes: &[u8]) -> Cut {
        let bytes_max = KEY_BYTES_MAX.min(BYTES_MAX.saturating_sub(self.bytes));
        let cut = Cut::new(bytes, bytes_max);
        self.bytes += cut.len();
        cut
    }

    /// The fields of the line.
    pub(super) fn add_fields(&self, fields: &mut Vec<(&'static str, Value)>) {
        if !self.keys.is_empty() {
            let keys = self.keys.iter().map(Keys::shown);
            fields.push(("keys", Value::Array(keys.collect())));
        }
        if self.more_keys > 0 {
            fields.push(("more_keys", Value::from(self.more_keys)));
        }
        if self.lease != 0 {
            fields.push(("lease", Value::from(hex(self.lease))));
        }
        if !self.details.is_empty() {
            let details = self.details.iter();
            let details = details.map(|(name, detail)| ((*name).to_owned(), detail.shown()));
            fields.push(("details", Value::Object(details.collect())));
        }
    }
}

impl Keys {
    fn shown(&self) -> Value {
        let mut shown = Map::new();
        let mut add = |name: &str, text: String| shown.insert(name.to_owned(), text.into());
        if let Some(Step { op, branch }) = &self.step {
            add("op", (*op).to_owned());
            if branch.depth > 0 {
                add("branch", branch.path.clone());
            }
        }
        add("key", self.key.to_string());
        if let Some(end) = &self.end {
            add("end", end.to_string());
        }
        if self.lease != 0 {
            add("lease", hex(self.lease));
        }
        Value::Object(shown)
    }
}

impl Detail {
    fn shown(&self) -> Value {
        match self {
            Detail::Text(text) => Value::from(text.to_string()),
            Detail::Texts(texts) => texts.iter().map(Cut::to_string).collect(),
            Detail::Number(number) => Value::from(*number),
            Detail::Word(word) => Value::from(*word),
            Detail::Flag(flag) => Value::from(*flag),
            Detail::Flags(flags) => Value::from(flags.clone()),
        }
    }
}

/// A lease's id as `etcdctl` prints it.
fn hex(lease: i64) -> String {
    format!("{lease:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(content: &Content) -> Value {
        let mut fields = Vec::new();
        content.add_fields(&mut fields);
        let fields = fields.into_iter().map(|(name, v)| (name.to_owned(), v));
        Value::Object(fields.collect())
    }

    #[test]
    fn a_request_is_shown_by_its_keys_and_names() {
        let mut content = Content::default();
        content.keys(b"a", b"");
        content.keys(b"b", b"c\xff");
        content.lease(0x694d_7000_0000_0001);
        content.text("user", "alice\n");
        content.word("permission", "readwrite");
        content.number("ttl", 60);
        content.id("member", 0x8e9e_05c5_2164_694d);
        content.flag("learner", true);
        let expected = serde_json::json!({
            "keys": [{"key": "a"}, {"key": "b", "end": "c\\xff"}],
            "lease": "694d700000000001",
            "details": {
                "user": "alice\\x0a", "permission": "readwrite", "ttl": 60,
                "member": "8e9e05c52164694d", "learner": true,
            },
        });
        assert_eq!(shown(&content), expected);
        assert_eq!(shown(&Content::default()), serde_json::json!({}));
    }

    #[test]
    fn a_transaction_shows_what_each_step_does() {
        let mut content = Content::default();
        let outermost = Branch::default();
        let nested = outermost.of(true).of(false);
        content.step("put", &outermost.of(true), b"a", b"", 7);
        content.step("delete", &nested, b"b", b"", 0);
        content.step("compare", &outermost, b"a", b"", 0);
        content.flags("nested_succeeded", vec![true; 20]);
        let mut deep = outermost;
        (0..100).for_each(|_| deep = deep.of(true));
        assert_eq!(deep.path.matches("success").count(), NESTING_MAX);
        assert!(deep.path.ends_with(".success.deeper"), "{}", deep.path);
        let expected = serde_json::json!({"keys": [
            {"op": "put", "branch": "success", "key": "a", "lease": "0000000000000007"},
            {"op": "delete", "branch": "success.failure", "key": "b"},
            {"op": "compare", "key": "a"},
        ], "details": {"nested_succeeded": vec![true; FLAGS_MAX]}});
        assert_eq!(shown(&content), expected);
    }

    #[test]
    fn however_much_is_sent_a_line_is_short() {
        let mut content = Content::default();
        for _ in 0..1000 {
            content.keys(&[0xff; 5000], &[0xff; 5000]);
        }
        assert!(content.bytes <= BYTES_MAX, "{}", content.bytes);
        assert_eq!(content.keys.len() + content.more_keys, 1000);
        let mut content = Content::default();
        (0..20).for_each(|_| content.keys(b"k", b""));
        assert_eq!((content.keys.len(), content.more_keys), (KEYS_MAX, 4));
        let mut content = Content::default();
        content.text("user", &"u".repeat(100_000));
        content.urls("peer_urls", &vec!["u".repeat(1000); 1000]);
        assert!(shown(&content).to_string().len() < 3000);
    }

    #[test]
    fn urls_lose_their_passwords() {
        let mut content = Content::default();
        let urls = ["http://u:p@h:1", "u:p@h:1", "http://h:1"].map(str::to_owned);
        content.urls("peer_urls", &urls);
        let shown_urls = ["http://(hidden)@h:1", "://(hidden)@h:1", "http://h:1"];
        let expected = serde_json::json!({"details": {"peer_urls": shown_urls}});
        assert_eq!(shown(&content), expected);
    }
}
