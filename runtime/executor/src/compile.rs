//! Making programs ready: the thread that finds them and the ones that have them compiled.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use wasmbatch_core::{Digest, Ending};

use crate::cache::{Compiled, checksum};
use crate::flight::{FlightId, Source, Waiter};
use crate::pool::Shared;
use crate::program::FoundFile;
use crate::reason::matchable;
use crate::spec::{AttemptSpec, EngineProfile, PrepareError, Prepared, Program};
use crate::worker::{CompileOutcome, Ready, Worker, WorkerKind};

/// Finds the program of one attempt after the other.
pub(crate) fn find_programs(shared: &Arc<Shared>) {
    while let Some(spec) = shared.unresolved.pop() {
        if !shared.is_wanted(spec.attempt) {
            continue;
        }
        let found = match &spec.program {
            // Not behind the compilations of others.
            Program::Stored { digest } if shared.programs.is_missing(digest) => {
                Err(PrepareError::NotFound(*digest).to_string())
            }
            Program::Stored { digest } => Ok((*digest, Source::Stored)),
            Program::File { path } => match shared.programs.find_file(path, &shared.allowed, &shared.cache) {
                Ok(FoundFile::Copied(digest, copy)) => Ok((digest, Source::Copy(copy))),
                // Compiled before; should that be gone, it is copied and compiled again.
                Ok(FoundFile::Known(digest)) if shared.cache.find(&digest).is_some() => Ok((digest, Source::Stored)),
                Ok(FoundFile::Known(_)) => {
                    shared.programs.forget_files();
                    shared.find_later(spec);
                    continue;
                }
                Err(reason) => Err(reason),
            },
        };
        match found {
            Ok((digest, source)) => make_ready(shared, spec, digest, source),
            Err(reason) => could_not_start(shared, &spec, &format!("ResourceInitializationError: {reason}")),
        }
    }
}

fn make_ready(shared: &Arc<Shared>, spec: Box<AttemptSpec>, digest: Digest, source: Source) {
    let mut spec = spec;
    if shared.cache.find(&digest).is_none() {
        let done = || shared.cache.held_open(&digest).is_some();
        spec = match shared.flights.join(digest, Waiter::Attempt(spec), source, done) {
            Err(Waiter::Attempt(spec)) => spec,
            Ok(()) | Err(Waiter::Caller(_)) => return,
        };
    }
    match shared.cache.find(&digest) {
        Some(compiled) => shared.dispatch(Ready { spec: *spec, digest, compiled }),
        None => could_not_start(shared, &spec, "too many modules wait for compilation"),
    }
}

fn could_not_start(shared: &Shared, spec: &AttemptSpec, reason: &str) {
    shared.finish(spec.attempt, Ending::CouldNotStart { reason: matchable(reason) });
}

/// Has one module after the other compiled.
pub(crate) fn compile_modules(shared: &Arc<Shared>) {
    while let Some(id) = shared.flights.queue.pop() {
        let Some(source) = shared.flights.board(id) else { continue };
        let begun = Instant::now();
        let result = compile(shared, id, &source);
        drop(source);
        let prepared = result.map(|compiled| {
            let duration = begun.elapsed();
            tracing::info!(module = %id.digest, milliseconds = duration.as_millis(), "compiled a module");
            let Compiled { file: _, kind, bytes } = &*compiled;
            let prepared = Prepared { kind: *kind, compiled_bytes: *bytes, compile_duration: Some(duration) };
            (prepared, compiled)
        });
        for waiter in shared.flights.land(id) {
            answer(shared, id.digest, waiter, &prepared);
        }
    }
}

fn answer(
    shared: &Arc<Shared>,
    digest: Digest,
    waiter: Waiter,
    result: &Result<(Prepared, Arc<Compiled>), PrepareError>,
) {
    match (waiter, result) {
        // A caller that gave up waiting misses nothing.
        (Waiter::Caller(caller), result) => {
            drop(caller.send(result.as_ref().map(|(prepared, _)| *prepared).map_err(Clone::clone)));
        }
        (Waiter::Attempt(spec), Ok((_, compiled))) => {
            shared.dispatch(Ready { spec: *spec, digest, compiled: Arc::clone(compiled) });
        }
        (Waiter::Attempt(spec), Err(error)) => could_not_start(shared, &spec, &start_reason(error)),
    }
}

fn start_reason(error: &PrepareError) -> String {
    match error {
        PrepareError::Rejected { reason } => format!("InvalidModule: {reason}"),
        PrepareError::NotFound(_) | PrepareError::Unavailable { .. } => format!("ResourceInitializationError: {error}"),
        PrepareError::ShuttingDown => error.to_string(),
    }
}

fn compile(shared: &Shared, id: FlightId, source: &Source) -> Result<Arc<Compiled>, PrepareError> {
    let unavailable = |error: std::io::Error| PrepareError::Unavailable { reason: error.to_string() };
    let stored: File;
    let module = match source {
        Source::Copy(copy) => &copy.file,
        Source::Stored => {
            stored = open_checked(shared, &id.digest)?;
            &stored
        }
    };
    let written = shared.cache.temporary().map_err(unavailable)?;
    let mut worker =
        Worker::spawn(&shared.launch(), &WorkerKind::compiler(EngineProfile::Plain), &[]).map_err(unavailable)?;
    if !shared.flights.take_off(id, worker.killer()) {
        return Err(PrepareError::ShuttingDown);
    }
    let hello = worker.hello().map_err(|error| PrepareError::Unavailable { reason: error.to_string() })?;
    if hello != shared.hello {
        let reason = "a worker has another engine than the pool began with".to_owned();
        return Err(PrepareError::Unavailable { reason });
    }
    match worker.compile(module.as_fd(), written.file.as_fd(), shared.options.compile_timeout) {
        CompileOutcome::Compiled(kind) => shared.cache.store(&id.digest, &written, kind).map_err(unavailable),
        CompileOutcome::Rejected(reason) => Err(PrepareError::Rejected { reason }),
        CompileOutcome::TimedOut => {
            let seconds = shared.options.compile_timeout.as_secs();
            Err(PrepareError::Rejected { reason: format!("its compilation took longer than {seconds} seconds") })
        }
        CompileOutcome::Died(how) => Err(PrepareError::Rejected { reason: format!("its compiler crashed: {how}") }),
    }
}

/// Opens an uploaded module and sees to it that it is still what was uploaded.
fn open_checked(shared: &Shared, digest: &Digest) -> Result<File, PrepareError> {
    let unavailable = |error: std::io::Error| PrepareError::Unavailable { reason: error.to_string() };
    let file = match shared.programs.open_stored(digest) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(PrepareError::NotFound(*digest)),
        opened => opened.map_err(unavailable)?,
    };
    if checksum(&file).map_err(unavailable)?.0 != *digest.as_bytes() {
        return Err(PrepareError::Unavailable { reason: "its stored bytes have changed".to_owned() });
    }
    Ok(file)
}
