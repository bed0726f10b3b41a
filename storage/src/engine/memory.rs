//! The engine in memory, with the faults of a disk: for the simulation and most tests.
//!
//! A [`MemoryEngine`] is a handle to a "disk" that outlives it. Clones share the disk, and
//! [`MemoryEngine::crash`] returns the disk as a restarted process finds it. The disk has two
//! images: *current*, which reads see, and *durable*, which survives a crash. Between them are the
//! batches that were written and not yet synced, in order; a sync applies all of them to the
//! durable image. A crash keeps the durable image and any prefix of those batches, which is exactly
//! what [`Durability::Eventual`] promises.
//!
//! For example, with 1 synced and 2 and 3 written after it, `crash_keeping(1)` finds 1 and 2.
//!
//! Invariants:
//!
//! * A write that fails is in doubt: it is appended to the unsynced batches, so a crash may keep
//!   it.
//! * After a failed write every later write fails, as on a real engine.
//! * Images are maps behind `Arc`. Snapshots and scans hold the map, and a write copies a map only
//!   while a snapshot or a scan holds it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::{Buf, BufMut, Bytes};

use super::{Batch, Direction, Durability, Engine, Op, Read, Scan, Space};
use crate::fault::Fault;

mod records;

type Map = BTreeMap<Bytes, Bytes>;

/// The only file of a checkpoint.
const CHECKPOINT_FILE: &str = "pairs";

/// A handle to an engine in memory.
#[derive(Clone, Default)]
pub struct MemoryEngine {
    disk: Arc<Mutex<Disk>>,
    /// Notified when writes are no longer held.
    released: Arc<Condvar>,
}

#[derive(Default)]
struct Disk {
    current: Image,
    durable: Image,
    /// Batches written and not synced, oldest first.
    unsynced: Vec<Arc<Batch>>,
    /// Writes that still succeed before the one that fails, if a failure is scheduled.
    writes_before_failure: Option<u64>,
    full: bool,
    held: bool,
    /// Why writes fail: an earlier write failed, or the process "died".
    stopped: Option<&'static str>,
}

/// The pairs of every space, by the position of the space.
#[derive(Clone, Default)]
struct Image {
    spaces: Vec<Arc<Map>>,
}

impl Image {
    fn map(&self, space: Space) -> Arc<Map> {
        self.spaces.get(space.position).cloned().unwrap_or_default()
    }

    fn map_mut(&mut self, space: Space) -> &mut Map {
        if self.spaces.len() <= space.position {
            self.spaces.resize_with(space.position + 1, Arc::default);
        }
        Arc::make_mut(&mut self.spaces[space.position])
    }

    fn apply(&mut self, batch: &Batch) {
        for op in &batch.ops {
            match op {
                Op::Put(space, key, value) => {
                    let value = Bytes::copy_from_slice(value);
                    self.map_mut(*space)
                        .insert(Bytes::copy_from_slice(key), value);
                }
                Op::Delete(space, key) => {
                    self.map_mut(*space).remove(key.as_slice());
                }
                Op::DeleteRange(space, from, to) if from < to => {
                    let map = self.map_mut(*space);
                    let bounds = (
                        Bound::Included(from.as_slice()),
                        Bound::Excluded(to.as_slice()),
                    );
                    let keys: Vec<Bytes> = map
                        .range::<[u8], _>(bounds)
                        .map(|(key, _)| key.clone())
                        .collect();
                    for key in keys {
                        map.remove(&key);
                    }
                }
                Op::DeleteRange(..) => {}
            }
        }
    }
}

impl MemoryEngine {
    /// Creates an empty disk.
    pub fn new() -> MemoryEngine {
        MemoryEngine::default()
    }

    /// Returns the disk after a power loss, without the batches that were not synced. All other
    /// handles to this disk fail from now on, like those of a dead process.
    #[must_use]
    pub fn crash(&self) -> MemoryEngine {
        self.crash_keeping(0)
    }

    /// Like [`MemoryEngine::crash`], but the first `seed mod (n + 1)` of the n unsynced batches
    /// reached the disk.
    #[must_use]
    pub fn crash_seeded(&self, seed: u64) -> MemoryEngine {
        let choices = self.unsynced() as u64 + 1;
        self.crash_keeping(usize::try_from(seed % choices).expect("at most the number of batches"))
    }

    /// Like [`MemoryEngine::crash`], but the first `batches` unsynced batches reached the disk.
    #[must_use]
    pub fn crash_keeping(&self, batches: usize) -> MemoryEngine {
        let mut disk = self.disk();
        disk.stopped = Some("the process that held this engine has died");
        let mut durable = disk.durable.clone();
        for batch in disk.unsynced.iter().take(batches) {
            durable.apply(batch);
        }
        MemoryEngine::on(durable)
    }

    /// Like [`MemoryEngine::crash`], but of the bytes of the unsynced batches a prefix reached the
    /// disk, and the rest of the last record, if anything, as zeros. A batch of which half is there
    /// is dropped, by its checksum.
    #[must_use]
    pub fn crash_torn(&self, seed: u64) -> MemoryEngine {
        let (mut log, mut ends) = (Vec::new(), vec![0]);
        for batch in &self.disk().unsynced {
            records::append(batch, &mut log);
            ends.push(log.len());
        }
        let cut = usize::try_from(seed >> 1).unwrap_or(usize::MAX) % (log.len() + 1);
        let end = ends[ends.partition_point(|end| *end < cut)];
        log.truncate(cut);
        if seed & 1 == 1 {
            log.resize(end, 0);
        }
        self.crash_keeping(records::whole(&log).len())
    }

    /// Flips a bit of a value that is on the disk. Returns false if there is none.
    pub fn flip_bit(&self, seed: u64) -> bool {
        let mut disk = self.disk();
        let mut seed = usize::try_from(seed).unwrap_or(usize::MAX);
        let maps = disk.durable.spaces.iter().enumerate();
        let values = maps.flat_map(|(position, map)| {
            let values = map.iter().filter(|(_, value)| !value.is_empty());
            values.map(move |(key, value)| (position, key.clone(), value.clone()))
        });
        let mut values: Vec<_> = values.collect();
        if values.is_empty() {
            return false;
        }
        let (position, key, value) = values.swap_remove(seed % values.len());
        seed /= 7;
        let mut value = value.to_vec();
        let length = value.len();
        value[seed % length] ^= 1 << (seed / 64 % 8);
        let map = Arc::make_mut(&mut disk.durable.spaces[position]);
        map.insert(key, value.into());
        disk.current = disk.durable.clone();
        true
    }

    /// Number of batches that a crash may lose.
    pub fn unsynced(&self) -> usize {
        self.disk().unsynced.len()
    }

    /// Makes the next write fail; see [`MemoryEngine::fail_after`].
    pub fn fail_next_write(&self) {
        self.fail_after(0);
    }

    /// Lets `writes` more writes succeed and makes all later ones fail, until the disk is opened
    /// again by [`MemoryEngine::crash`]. The first failed write may or may not be there then.
    pub fn fail_after(&self, writes: u64) {
        self.disk().writes_before_failure = Some(writes);
    }

    /// While the disk is full, writes and flushes fail and change nothing.
    pub fn set_disk_full(&self, full: bool) {
        self.disk().full = full;
    }

    /// Makes the disk hang: while writes are held, calls to write block.
    pub fn hold_writes(&self, hold: bool) {
        self.disk().held = hold;
        self.released.notify_all();
    }

    /// Opens a copy that [`Engine::checkpoint`] wrote.
    ///
    /// # Errors
    /// [`Fault::Engine`] when it cannot be read, [`Fault::Damaged`] when it does not decode.
    pub fn open_checkpoint(dir: &Path) -> Result<MemoryEngine, Fault> {
        let file = dir.join(CHECKPOINT_FILE);
        let contents = fs::read(&file).map_err(|e| Fault::io("read", &file, &e))?;
        MemoryEngine::decode(&contents)
            .ok_or_else(|| Fault::damaged(&file, "the checkpoint does not match its checksum"))
    }

    /// Returns all pairs as bytes: a CRC-32C of the rest (4), and each pair as space (4), key
    /// length (4), value length (4), key, value.
    pub fn encode(&self) -> Bytes {
        let pairs = self.disk().current.encode();
        let mut out = Vec::with_capacity(4 + pairs.len());
        out.put_u32(crc32c::crc32c(&pairs));
        out.put_slice(&pairs);
        out.into()
    }

    /// Returns an engine with the pairs in these bytes, all of them durable. `None` if the bytes
    /// are not those that [`MemoryEngine::encode`] returned.
    pub fn decode(mut bytes: &[u8]) -> Option<MemoryEngine> {
        let checksum = bytes.try_get_u32().ok()?;
        let durable = (crc32c::crc32c(bytes) == checksum).then(|| Image::decode(bytes))??;
        Some(MemoryEngine::on(durable))
    }

    /// A disk that holds this image.
    fn on(durable: Image) -> MemoryEngine {
        let current = durable.clone();
        let disk = Disk {
            current,
            durable,
            ..Disk::default()
        };
        MemoryEngine {
            disk: Arc::new(Mutex::new(disk)),
            released: Arc::default(),
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk
            .lock()
            .expect("nothing panics while it holds the disk")
    }

    fn view(&self) -> MemoryView {
        MemoryView {
            image: self.disk().current.clone(),
        }
    }
}

impl Disk {
    fn check_usable(&self) -> Result<(), Fault> {
        match self.stopped {
            Some(reason) => Err(refused("write", reason)),
            None if self.full => Err(refused("write", "no space left")),
            None => Ok(()),
        }
    }

    fn sync(&mut self) {
        for batch in self.unsynced.drain(..) {
            self.durable.apply(&batch);
        }
    }
}

fn refused(operation: &'static str, detail: &str) -> Fault {
    Fault::Engine {
        operation,
        path: PathBuf::new(),
        detail: detail.to_owned(),
    }
}

/// The pairs at one moment.
struct MemoryView {
    image: Image,
}

impl Read for MemoryView {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self
            .image
            .spaces
            .get(space.position)
            .and_then(|map| map.get(key).cloned()))
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        let wanted = space.prefix_of(from);
        let map = self.image.map(space);
        let first = map
            .range::<[u8], _>((Bound::Included(from), Bound::Unbounded))
            .next();
        Ok(first
            .filter(|(key, _)| space.prefix_of(key) == wanted)
            .map(|(key, value)| (key.clone(), value.clone())))
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        Ok(MemoryScan::boxed(
            self.image.map(space),
            from,
            to,
            direction,
        ))
    }
}

impl Read for MemoryEngine {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self
            .disk()
            .current
            .spaces
            .get(space.position)
            .and_then(|map| map.get(key).cloned()))
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        self.view().first_in_prefix(space, from)
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        Ok(MemoryScan::boxed(
            self.disk().current.map(space),
            from,
            to,
            direction,
        ))
    }
}

/// A scan holds its map and looks up its position by key at every step.
struct MemoryScan {
    map: Arc<Map>,
    direction: Direction,
    /// The rest of the range. Each step moves one of the bounds: the low one forward, or the high
    /// one backward.
    low: Bound<Bytes>,
    high: Bound<Bytes>,
    /// The bounds of the whole scan, which a seek cannot leave.
    from: Bytes,
    to: Option<Bytes>,
}

impl MemoryScan {
    fn boxed<'a>(
        map: Arc<Map>,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Box<dyn Scan + 'a> {
        let from = Bytes::copy_from_slice(from);
        let to = to.map(Bytes::copy_from_slice);
        let low = Bound::Included(from.clone());
        let high = to.clone().map_or(Bound::Unbounded, Bound::Excluded);
        Box::new(MemoryScan {
            map,
            direction,
            low,
            high,
            from,
            to,
        })
    }
}

/// True when the range is empty. `BTreeMap::range` panics on bounds that are reversed, or that are
/// equal and both exclusive.
fn is_empty(low: &Bound<Bytes>, high: &Bound<Bytes>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (
            Bound::Included(low) | Bound::Excluded(low),
            Bound::Included(high) | Bound::Excluded(high),
        ) => low >= high,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

impl Scan for MemoryScan {
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, Fault> {
        if is_empty(&self.low, &self.high) {
            return Ok(None);
        }
        let mut range = self.map.range((self.low.clone(), self.high.clone()));
        let pair = match self.direction {
            Direction::Forward => range.next(),
            Direction::Backward => range.next_back(),
        };
        let Some((key, value)) = pair else {
            return Ok(None);
        };
        match self.direction {
            Direction::Forward => self.low = Bound::Excluded(key.clone()),
            Direction::Backward => self.high = Bound::Excluded(key.clone()),
        }
        Ok(Some((key, value)))
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Fault> {
        let key = Bytes::copy_from_slice(key);
        self.low = Bound::Included(self.from.clone());
        self.high = self.to.clone().map_or(Bound::Unbounded, Bound::Excluded);
        match self.direction {
            Direction::Forward if key > self.from => self.low = Bound::Included(key),
            Direction::Backward if self.to.as_ref().is_none_or(|to| key < *to) => {
                self.high = Bound::Included(key);
            }
            Direction::Forward | Direction::Backward => {}
        }
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Fault> {
        let mut disk = self.disk();
        while disk.held {
            disk = self
                .released
                .wait(disk)
                .expect("nothing panics while it holds the disk");
        }
        disk.check_usable()?;
        let batch = Arc::new(batch);
        match disk.writes_before_failure.as_mut() {
            Some(0) => {
                disk.unsynced.push(batch);
                disk.stopped = Some("an earlier write failed");
                return Err(refused("write", "input/output error"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        disk.current.apply(&batch);
        disk.unsynced.push(batch);
        if durability == Durability::Synced {
            disk.sync();
        }
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Read + '_> {
        Box::new(self.view())
    }

    fn flush(&self) -> Result<(), Fault> {
        let mut disk = self.disk();
        disk.check_usable()?;
        disk.sync();
        Ok(())
    }

    fn checkpoint(&self, dir: &Path) -> Result<(), Fault> {
        fs::create_dir(dir).map_err(|e| Fault::io("create", dir, &e))?;
        let file = dir.join(CHECKPOINT_FILE);
        fs::write(&file, self.encode()).map_err(|e| Fault::io("write", &file, &e))
    }

    fn reclaim(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn discard(&self) {}

    fn size_on_disk(&self) -> u64 {
        let image = self.disk().current.clone();
        let pairs = image.spaces.iter().flat_map(|map| map.iter());
        pairs
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }
}

impl Image {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (position, map) in self.spaces.iter().enumerate() {
            for (key, value) in map.iter() {
                for number in [position, key.len(), value.len()] {
                    out.put_u32(u32::try_from(number).expect("no pair is as large as 4 GiB"));
                }
                out.put_slice(key);
                out.put_slice(value);
            }
        }
        out
    }

    fn decode(mut bytes: &[u8]) -> Option<Image> {
        let mut image = Image::default();
        while bytes.has_remaining() {
            let mut number = || bytes.try_get_u32().ok().map(|number| number as usize);
            let (position, key_len, value_len) = (number()?, number()?, number()?);
            if bytes.remaining() < key_len.checked_add(value_len)? {
                return None;
            }
            let space = Space {
                position,
                name: "",
                suffix_len: None,
            };
            let (key, value) = (bytes.copy_to_bytes(key_len), bytes.copy_to_bytes(value_len));
            image.map_mut(space).insert(key, value);
        }
        Some(image)
    }
}

#[cfg(test)]
mod tests;
