//! Outcomes of kernels, kept from run to run in the user's cache folder.
//!
//! The name of an entry is the hash of all that the outcome depends on (`runner::OutcomeKey`) and of
//! this executable, so there is nothing to invalidate.
//!
//! **Invariant.** An entry that is not whole — cut short, damaged, of another name, of another
//! executable — is not there. Entries appear under their names complete or not at all, so any
//! number of processes may share the folder. Nothing that goes wrong here fails a run.
//! **Not here.** Which runs ask (`runner`).

use crate::files;
use etcetera::BaseStrategy;
use runner::heat::Heat;
use runner::{OutcomeKey, OutcomeStore};
use sim_core::codec;
use sim_core::coord::Grid;
use sim_core::report::Outcome;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Environment variable that names another folder; empty: no cache.
pub const FOLDER: &str = "WAFERSIM_CACHE";
/// Bytes that the folder may hold after a run.
pub const LIMIT: u64 = 256 << 20;
/// Bytes of the largest entry.
const ENTRY: u64 = 16 << 20;
/// Name of the layout of an entry.
const KIND: &str = "outcome/1";
/// Name of the layout of an entry of cells.
const HEAT: &str = "heat/2";
/// Bytes of the hash that an entry begins with.
const SEAL: usize = 32;
/// Ending of the files.
const ENDING: &str = "outcome";

/// Name of an entry: the hash of everything that the outcome depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of what the PEs of a mesh did in the outcome.
    fn of_heat(&self, mesh: Grid) -> Key {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.0).update(HEAT.as_bytes());
        hash.update(&mesh.width.to_le_bytes()).update(&mesh.height.to_le_bytes());
        Key(*hash.finalize().as_bytes())
    }
}

/// The cache.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    /// Hash of this executable.
    engine: [u8; 32],
}

/// What is in the folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Contents {
    /// The folder.
    pub folder: PathBuf,
    /// Files in it.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub limit: u64,
}

impl Cache {
    /// The user's cache; None if there is no folder for it, or the user wants none.
    #[must_use]
    pub fn open() -> Option<Cache> {
        let folder = match std::env::var_os(FOLDER) {
            Some(folder) if folder.is_empty() => return None,
            Some(folder) => PathBuf::from(folder),
            None => etcetera::choose_base_strategy().ok()?.cache_dir().join("wafersim"),
        };
        Cache::at(folder)
    }

    /// The cache in a folder, which need not exist; None if this executable cannot be read.
    #[must_use]
    pub fn at(folder: PathBuf) -> Option<Cache> {
        let mut engine = blake3::Hasher::new();
        let executable = std::fs::File::open(std::env::current_exe().ok()?).ok()?;
        engine.update_reader(executable).ok()?;
        Some(Cache { folder, engine: *engine.finalize().as_bytes() })
    }

    /// The name of an entry: of a key, in the version of the engines that this executable has.
    fn key(&self, key: &OutcomeKey) -> Key {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.engine).update(&key.0);
        Key(*hash.finalize().as_bytes())
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{}.{ENDING}", blake3::Hash::from(key.0).to_hex()))
    }

    /// A whole entry, without its seal.
    fn entry(&self, key: &Key) -> Option<Vec<u8>> {
        let bytes = files::read(&self.path(key), ENTRY).ok()?;
        let (seal, entry) = bytes.split_first_chunk::<SEAL>()?;
        (*seal == sealed(key, entry)).then(|| entry.to_vec())
    }

    fn keep(&self, key: &Key, entry: &[u8]) {
        let bytes = [&sealed(key, entry)[..], entry].concat();
        if bytes.len() as u64 <= ENTRY && std::fs::create_dir_all(&self.folder).is_ok() {
            // A run does not fail because its outcome cannot be kept.
            let _ = files::write(&self.path(key), &bytes);
        }
    }

    /// What is in the folder.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let files = self.files();
        let bytes = files.iter().map(|f| f.2).sum();
        Contents { folder: self.folder.clone(), entries: files.len() as u64, bytes, limit: LIMIT }
    }

    /// Removes all entries, and gives what was there.
    #[must_use]
    pub fn clear(&self) -> Contents {
        let contents = self.contents();
        for (_, path, _) in self.files() {
            // Another process may have removed it.
            let _ = std::fs::remove_file(path);
        }
        contents
    }

    /// Removes the oldest entries until the rest is within the limit.
    pub fn trim(&self) {
        self.trim_to(LIMIT);
    }

    fn trim_to(&self, limit: u64) {
        let mut files = self.files();
        files.sort();
        let mut bytes: u64 = files.iter().map(|f| f.2).sum();
        for (_, path, size) in files {
            if bytes <= limit {
                return;
            }
            let _ = std::fs::remove_file(path);
            bytes -= size;
        }
    }

    /// Entries with their age and size.
    fn files(&self) -> Vec<(SystemTime, PathBuf, u64)> {
        let Ok(folder) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let ours = |path: &Path| path.extension().is_some_and(|e| e == ENDING);
        let entry = |file: std::fs::DirEntry| {
            let about = file.metadata().ok()?;
            Some((about.modified().ok()?, file.path(), about.len()))
        };
        folder.flatten().filter(|f| ours(&f.path())).filter_map(entry).collect()
    }
}

impl OutcomeStore for Cache {
    fn load(&self, key: &OutcomeKey) -> Option<Outcome> {
        codec::decode(KIND, &self.entry(&self.key(key))?).ok()
    }

    fn store(&self, key: &OutcomeKey, outcome: &Outcome) {
        self.keep(&self.key(key), &codec::encode(KIND, outcome));
    }

    fn load_heat(&self, key: &OutcomeKey, mesh: Grid) -> Option<Heat> {
        let bytes: Vec<u8> = codec::decode(HEAT, &self.entry(&self.key(key).of_heat(mesh))?).ok()?;
        Heat::from_bytes(mesh, &bytes)
    }

    fn store_heat(&self, key: &OutcomeKey, heat: &Heat) {
        self.keep(&self.key(key).of_heat(heat.mesh), &codec::encode(HEAT, &heat.to_bytes()));
    }
}

/// What an entry under a key begins with.
fn sealed(key: &Key, entry: &[u8]) -> [u8; SEAL] {
    *blake3::keyed_hash(&key.0, entry).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::report::CellCounters;
    use sim_core::units::Cycles;

    fn outcome(cycles: u64) -> Outcome {
        Outcome { cycles: Cycles(cycles), macs: 7, ..Outcome::default() }
    }

    #[test]
    fn entries_are_found_under_their_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("new")).unwrap();
        let [key, other] = [1, 2].map(|n| OutcomeKey([n; 32]));
        cache.store(&key, &outcome(5));
        assert_eq!((cache.load(&key), cache.load(&other)), (Some(outcome(5)), None));
        std::fs::copy(cache.path(&cache.key(&key)), cache.path(&cache.key(&other))).unwrap();
        assert_eq!(cache.load(&other), None, "an entry under another name");
        let mesh = Grid { width: 3, height: 2 };
        let heat = Heat::of(mesh, &CellCounters::new(mesh, mesh), 11);
        cache.store_heat(&key, &heat);
        assert_eq!(cache.load_heat(&key, mesh), Some(heat));
        assert_eq!(cache.load_heat(&key, Grid { width: 2, height: 3 }), None);
        assert_eq!(cache.load(&key), Some(outcome(5)), "beside its outcome");
    }

    #[test]
    fn a_damaged_entry_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned()).unwrap();
        let key = OutcomeKey([3; 32]);
        let path = cache.path(&cache.key(&key));
        cache.store(&key, &outcome(9));
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(cache.load(&key), None, "byte {at} flipped");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(cache.load(&key), None, "cut at {at}");
        }
        cache.store(&key, &outcome(9));
        assert_eq!(cache.load(&key), Some(outcome(9)), "kept again");
    }

    #[test]
    fn the_oldest_entries_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned()).unwrap();
        let keys: Vec<OutcomeKey> = (0..4).map(|n| OutcomeKey([n; 32])).collect();
        for (age, key) in keys.iter().enumerate() {
            cache.store(key, &outcome(1));
            let file = std::fs::File::options().write(true).open(cache.path(&cache.key(key))).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64)).unwrap();
        }
        let size = cache.contents().bytes / 4;
        cache.trim_to(2 * size);
        let left: Vec<bool> = keys.iter().map(|k| cache.load(k).is_some()).collect();
        assert_eq!(left, [false, false, true, true]);
        assert_eq!(cache.clear().entries, 2);
        assert_eq!(cache.contents().entries, 0);
    }
}
