//! Tiles kept in a file, so that later starts map what the first one made. `engine/load.rs` opens and stores them,
//! `model/reader.rs` asks for each matrix.
//!
//! A safetensors file of U8 tensors, one a matrix; its metadata names what the tiles were made from, and of each matrix its
//! layout and shape. A file that was made from anything else is made anew.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use memmap2::{Advice, Mmap};
use safetensors::tensor::{Dtype, SafeTensors, View};
use seed_kernels::cpu::{TileBytes, Tiled};
use sha2::{Digest, Sha256};

use super::{Keeping, WeightError, WeightSource};

/// Where a file's metadata has what it was made from.
const STATE: &str = "seed.tiles";
/// Before the name of a matrix, where its metadata has layout and shape.
const SHAPE: &str = "seed.tiles.";

/// Tiles of one model under one set of options.
pub struct Tiles {
    file: PathBuf,
    state: String,
    kept: Option<Kept>,
    made: Mutex<Vec<(String, Arc<Tiled>)>>,
}

/// A mapped file of tiles.
struct Kept {
    map: Arc<Mmap>,
    /// Of each matrix its layout, rows, columns and where it lies.
    places: HashMap<String, (String, usize, usize, Range<usize>)>,
}

/// A part of a mapped file.
struct Part(Arc<Mmap>, Range<usize>);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.0[self.1.clone()]
    }
}

/// A matrix as it is written.
struct Piece(Arc<Tiled>, [usize; 1]);

impl View for Piece {
    fn dtype(&self) -> Dtype {
        Dtype::U8
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.0.as_bytes())
    }

    fn data_len(&self) -> usize {
        self.0.as_bytes().len()
    }
}

impl Tiles {
    /// The file in `folder` for this source: mapped where it was made from the same files under the same options, and else
    /// to be written by [`Tiles::store`]. Fails where the folder cannot be made or written.
    pub fn open(
        folder: &Path,
        source: &dyn WeightSource,
        keeping: Keeping,
    ) -> Result<Self, WeightError> {
        fs::create_dir_all(folder)
            .map_err(|e| WeightError::new(folder, format!("cannot be made: {e}")))?;
        let origin = source.origin();
        let origin = origin.canonicalize().unwrap_or(origin);
        // One file a model and set of options, whatever becomes of the model's files.
        let place = Sha256::new()
            .chain_update(origin.as_os_str().as_encoded_bytes())
            .chain_update(format!("{keeping:?}"))
            .finalize();
        let is_named = origin.is_dir() || origin.extension().is_some_and(|e| e == "gguf");
        let named = if is_named {
            Some(origin.as_path())
        } else {
            origin.parent()
        };
        let stem = named.and_then(Path::file_stem).unwrap_or_default();
        let stem = stem.to_string_lossy();
        let file = folder.join(format!("{stem}-{}.tiles", hex(&place[..6])));
        let state = state_of(source)?;
        let kept = Kept::open(&file, &state);
        if kept.is_none() {
            // Said before the work, not after it.
            let probe = written_as(&file);
            File::create(&probe)
                .and_then(|_| fs::remove_file(&probe))
                .map_err(|e| WeightError::new(folder, format!("cannot be written: {e}")))?;
        }
        Ok(Self {
            file,
            state,
            kept,
            made: Mutex::default(),
        })
    }

    /// The matrix of this name, mapped.
    pub(crate) fn find(&self, name: &str) -> Option<Tiled> {
        let kept = self.kept.as_ref()?;
        let (layout, rows, cols, range) = kept.places.get(name)?;
        let bytes: TileBytes = Arc::new(Part(Arc::clone(&kept.map), range.clone()));
        Tiled::again(layout, bytes, *rows, *cols)
    }

    /// Remembers a matrix for [`Tiles::store`].
    pub(crate) fn add(&self, name: &str, tiled: &Arc<Tiled>) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.push((name.into(), Arc::clone(tiled)));
    }

    /// Whether there is anything to write.
    pub fn has_new(&self) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        !made.is_empty()
    }

    /// Writes what was made since the file was opened, in one go: a start that is cut short leaves no half file behind.
    pub fn store(self) -> Result<(), WeightError> {
        let made = self
            .made
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if made.is_empty() {
            return Ok(());
        }
        let mut said = HashMap::from([(STATE.to_string(), self.state)]);
        for (name, tiled) in &made {
            let shape = format!("{} {} {}", tiled.layout(), tiled.rows(), tiled.cols());
            said.insert(format!("{SHAPE}{name}"), shape);
        }
        let pieces = made
            .into_iter()
            .map(|(name, tiled)| (name, Piece(Arc::clone(&tiled), [tiled.as_bytes().len()])));
        let begun = written_as(&self.file);
        let written = safetensors::serialize_to_file(pieces, Some(said), &begun)
            .map_err(|e| e.to_string())
            .and_then(|()| {
                // Its bytes must be on the disk before its name is.
                File::open(&begun)
                    .and_then(|file| file.sync_all())
                    .and_then(|()| fs::rename(&begun, &self.file))
                    .map_err(|e| e.to_string())
            });
        written.map_err(|e| {
            // Half a file is of no use; that it cannot be removed either is no news.
            let _ = fs::remove_file(&begun);
            WeightError::new(&self.file, format!("cannot be written: {e}"))
        })
    }
}

impl Kept {
    /// Nothing where the file is missing, is no file of tiles, or was made from something else.
    fn open(path: &Path, state: &str) -> Option<Self> {
        let file = File::open(path).ok()?;
        // SAFETY: the map is read-only; files of tiles are replaced by renaming, never written in place.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let (header, metadata) = SafeTensors::read_metadata(&map).ok()?;
        let said = metadata.metadata().as_ref()?;
        let begin = header.checked_add(8)?;
        if said.get(STATE)? != state || begin.checked_add(metadata.data_len())? != map.len() {
            return None;
        }
        let mut places = HashMap::new();
        for (name, info) in metadata.tensors() {
            let mut shape = said.get(&format!("{SHAPE}{name}"))?.split(' ');
            let layout = shape.next()?.to_string();
            let (rows, cols) = (shape.next()?.parse().ok()?, shape.next()?.parse().ok()?);
            let (start, end) = info.data_offsets;
            places.insert(name, (layout, rows, cols, begin + start..begin + end));
        }
        // Read ahead; a system that cannot does it page by page.
        let _ = map.advise(Advice::WillNeed);
        let map = Arc::new(map);
        Some(Self { map, places })
    }
}

/// The name under which a file is written, before it gets its own.
fn written_as(file: &Path) -> PathBuf {
    file.with_extension(format!("tiles.{}", std::process::id()))
}

/// Names, sizes and times of the files that a source reads.
fn state_of(source: &dyn WeightSource) -> Result<String, WeightError> {
    let files: BTreeSet<&PathBuf> = source
        .names()
        .into_iter()
        .filter_map(|name| Some(&source.info(name)?.file))
        .collect();
    let mut hash = Sha256::new();
    for file in files {
        let about = fs::metadata(file)
            .map_err(|e| WeightError::new(file, format!("cannot be read: {e}")))?;
        let changed = about.modified().ok();
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        hash.update(file.as_os_str().as_encoded_bytes());
        hash.update(format!("\0{} {changed:?}\0", about.len()));
    }
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
