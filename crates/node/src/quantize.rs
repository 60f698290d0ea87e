//! Writing quantised checkpoints, beside Node's own thread. `src/cli/quantize.ts` is the caller.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use napi::bindgen_prelude::{AsyncTask, Error, Result, Task};
use napi_derive::napi;
use seed_engine::weights::Keeping;

use crate::options::blocks;

/// The work, which napi runs on a thread of its pool.
pub struct Quantizing {
    folder: PathBuf,
    keeping: Keeping,
    file: PathBuf,
}

impl Task for Quantizing {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        let work = || seed_engine::engine::quantize(&self.folder, self.keeping, &self.file);
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(written) => written.map_err(|e| Error::from_reason(e.to_string())),
            Err(_) => Err(Error::from_reason("quantising failed inside the engine")),
        }
    }

    fn resolve(&mut self, _: napi::Env, (): ()) -> Result<()> {
        Ok(())
    }
}

/// Writes the tensors of a folder as one safetensors file, its products rounded to the block format of this name; the
/// promise rejects with one sentence.
#[napi(catch_unwind)]
pub fn quantize_folder(
    folder: String,
    format: String,
    file: String,
) -> Result<AsyncTask<Quantizing>> {
    let keeping = Keeping {
        quantize: Some(blocks(&format).map_err(Error::from_reason)?),
        ..Keeping::default()
    };
    Ok(AsyncTask::new(Quantizing {
        folder: folder.into(),
        keeping,
        file: file.into(),
    }))
}
