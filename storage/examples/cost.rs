use conclave_storage::engine::rocks::*; use conclave_storage::engine::*; use conclave_storage::layout::*; use conclave_storage::log::*; use conclave_storage::Revision;
use std::sync::Arc; use std::time::Instant;
fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let r: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect(); (r[11].parse::<f64>().unwrap() + r[12].parse::<f64>().unwrap()) / 100.0 }
fn thread_cpu() -> f64 { let s = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap(); s.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9 }
fn rss() -> String { let s = std::fs::read_to_string("/proc/self/status").unwrap(); s.lines().filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS")).collect::<Vec<_>>().join(" ") }
struct Rng(u64); impl Rng { fn next(&mut self) -> u64 { self.0 ^= self.0 << 13; self.0 ^= self.0 >> 7; self.0 ^= self.0 << 17; self.0 } }
fn key(n: u64) -> Vec<u8> { let mut k = format!("/registry/some/{n:012}/").into_bytes(); k.resize(256, b'x'); k }
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let dir = std::path::PathBuf::from(&args[2]); let _ = std::fs::remove_dir_all(&dir);
    match args[1].as_str() {
        "log" => {
            let e = Arc::new(RocksEngine::open(&dir, LOG_SPACES, RocksOptions::log()).unwrap());
            let (log, _) = Log::open(e.clone()).unwrap();
            let mut r = Rng(88172645463325252); let data: Vec<u8> = (0..1300).map(|_| r.next() as u8).collect();
            let t = Instant::now(); let c = cpu(); let mut i = 1; let n = 100_000u64;
            let per: u64 = args[3].parse().unwrap();
            while i <= n { let entries = (i..i+per).map(|index| Entry { index, term: 1, kind: EntryKind::Normal, data: bytes::Bytes::copy_from_slice(&data) }).collect(); i += per;
                log.append(&Append { entries, sync: true, ..Default::default() }).unwrap(); }
            println!("append {n}: {:?} {:.2} us/batch wall, cpu {:.2} us/entry {}", t.elapsed(), t.elapsed().as_secs_f64()*1e6/(n/per) as f64, (cpu()-c)*1e6/n as f64, rss());
            drop(log); drop(e);
            let t = Instant::now(); let e = Arc::new(RocksEngine::open(&dir, LOG_SPACES, RocksOptions::log()).unwrap()); println!("open engine {:?}", t.elapsed());
            let t = Instant::now(); let (log, s) = Log::open(e.clone()).unwrap(); println!("open log {:?} {}", t.elapsed(), s.last_index);
            let t = Instant::now(); log.compact(90_000).unwrap(); println!("compact {:?} {}", t.elapsed(), e.size_on_disk());
            let t = Instant::now(); e.reclaim().unwrap(); println!("reclaim {:?} {}", t.elapsed(), e.size_on_disk());
        }
        "state" => {
            let e = RocksEngine::open(&dir, STATE_SPACES, RocksOptions::state(args[4].parse::<usize>().unwrap() << 20)).unwrap();
            let mut r = Rng(88172645463325252); let n = 470_000u64; let space: u64 = args[3].parse().unwrap();
            let per = 32; let mut rev = 1i64; let t = Instant::now(); let c = cpu(); let mut look = 0.0; let mut wr = 0.0; let mut found = 0; let mut i = 0;
            while i < n { let mut b = Batch::default(); let keys: Vec<_> = (0..per).map(|_| key(r.next() % space)).collect();
                let t0 = thread_cpu();
                for k in &keys { if e.first_in_prefix(KV, &kv_key(k, Revision(i64::MAX))).unwrap().is_some() { found += 1 } }
                look += thread_cpu() - t0;
                for k in &keys { rev += 1; let v: Vec<u8> = (0..128).flat_map(|_| (r.next() & 0x0f0f0f0fffff0f0f).to_le_bytes()).collect();
                    b.put(KV, kv_key(k, Revision(rev)), v); let mut rk = rev.to_be_bytes().to_vec(); rk.extend_from_slice(&[0;4]); b.put(REV, rk, k.clone()); }
                b.put(META, "applied", rev.to_be_bytes()); i += per;
                let t0 = thread_cpu(); e.write(b, Durability::Eventual).unwrap(); wr += thread_cpu() - t0; }
            println!("{n} puts wall {:?} cpu {:.2} us/put; lookup {:.2} us, write {:.2} us/put; found {found}; {}", t.elapsed(), (cpu()-c)*1e6/n as f64, look*1e6/n as f64, wr*1e6/n as f64, rss());
            e.flush().unwrap(); println!("flushed {} cpu {:.2}/put disk {}", rss(), (cpu()-c)*1e6/n as f64, e.size_on_disk());
            for (what, off) in [("present", 0), ("absent", 1 << 40)] { let t0 = thread_cpu(); let m = 100_000; let mut f = 0;
                for _ in 0..m { if e.first_in_prefix(KV, &kv_key(&key(off + r.next() % space), Revision(i64::MAX))).unwrap().is_some() { f += 1 } }
                println!("{what}: {:.2} us found {f}", (thread_cpu()-t0)*1e6/m as f64); }
            let t0 = Instant::now(); let mut s = e.scan(KV, b"", None, Direction::Forward).unwrap(); let mut c = 0; while s.next().unwrap().is_some() { c += 1 } println!("scan {c} {:?} {}", t0.elapsed(), rss());
        }
        _ => panic!()
    }
}
