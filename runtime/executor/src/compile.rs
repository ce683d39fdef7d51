//! Making programs ready: the thread that finds them and the ones that have them compiled.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use wasmbatch_core::Ending;

use crate::cache::{Compiled, ProgramKey, checksum};
use crate::flight::{FlightId, Source, Waiter};
use crate::pool::Shared;
use crate::program::FoundFile;
use crate::reason::matchable;
use crate::spec::{AttemptSpec, PrepareError, Prepared, Program};
use crate::worker::{CompileOutcome, Ready, Worker, WorkerKind};

/// Finds the program of one attempt after the other.
pub(crate) fn find_programs(shared: &Arc<Shared>) {
    while let Some(spec) = shared.unresolved.pop() {
        if !shared.is_wanted(spec.attempt) {
            continue;
        }
        let profile = spec.profile();
        if let Err(error) = shared.engine(profile) {
            could_not_start(shared, &spec, &format!("ResourceInitializationError: no worker can be begun: {error}"));
            continue;
        }
        let found = match &spec.program {
            // Not behind the compilations of others.
            Program::Stored { digest } if shared.programs.is_missing(digest) => {
                Err(PrepareError::NotFound(*digest).to_string())
            }
            Program::Stored { digest } => Ok((*digest, Source::Stored)),
            Program::File { path } => match shared.programs.find_file(path, &shared.allowed, shared.plain_cache()) {
                Ok(FoundFile::Copied(digest, copy)) => Ok((digest, Source::Copy(copy))),
                // Compiled before; should that be gone, it is copied and compiled again.
                Ok(FoundFile::Known(digest)) if shared.find(ProgramKey { digest, profile }).is_some() => {
                    Ok((digest, Source::Stored))
                }
                Ok(FoundFile::Known(_)) => {
                    shared.programs.forget_files();
                    shared.find_later(spec);
                    continue;
                }
                Err(reason) => Err(reason),
            },
            Program::Image { reference } => Err(format!("this node runs no images: {reference}")),
        };
        match found {
            Ok((digest, source)) => make_ready(shared, spec, ProgramKey { digest, profile }, source),
            Err(reason) => could_not_start(shared, &spec, &format!("ResourceInitializationError: {reason}")),
        }
    }
}

fn make_ready(shared: &Arc<Shared>, spec: Box<AttemptSpec>, program: ProgramKey, source: Source) {
    let mut spec = spec;
    if shared.find(program).is_none() {
        let done = || shared.held_open(program).is_some();
        spec = match shared.flights.join(program, Waiter::Attempt(spec), source, done) {
            Err(Waiter::Attempt(spec)) => spec,
            Ok(()) | Err(Waiter::Caller(_)) => return,
        };
    }
    match shared.find(program) {
        Some(compiled) => shared.dispatch(Ready { spec: *spec, digest: program.digest, compiled }),
        None => could_not_start(shared, &spec, "too many modules wait for compilation"),
    }
}

fn could_not_start(shared: &Shared, spec: &AttemptSpec, reason: &str) {
    shared.finish(spec.attempt, Ending::CouldNotStart { reason: matchable(reason) }, None);
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
            tracing::info!(module = %id.program.digest, profile = ?id.program.profile, milliseconds = duration.as_millis(), "compiled a module");
            let Compiled { file: _, kind, bytes } = &*compiled;
            let prepared = Prepared { kind: *kind, compiled_bytes: *bytes, compile_duration: Some(duration) };
            (prepared, compiled)
        });
        for waiter in shared.flights.land(id) {
            answer(shared, id.program, waiter, &prepared);
        }
    }
}

fn answer(
    shared: &Arc<Shared>,
    program: ProgramKey,
    waiter: Waiter,
    result: &Result<(Prepared, Arc<Compiled>), PrepareError>,
) {
    match (waiter, result) {
        // A caller that gave up waiting misses nothing.
        (Waiter::Caller(caller), result) => {
            drop(caller.send(result.as_ref().map(|(prepared, _)| *prepared).map_err(Clone::clone)));
        }
        (Waiter::Attempt(spec), Ok((_, compiled))) => {
            shared.dispatch(Ready { spec: *spec, digest: program.digest, compiled: Arc::clone(compiled) });
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
    let ProgramKey { digest, profile } = id.program;
    let stored: File;
    let module = match source {
        Source::Copy(copy) => &copy.file,
        Source::Stored => {
            stored = open_checked(shared, &digest)?;
            &stored
        }
    };
    let known = shared.engine(profile).map_err(|reason| PrepareError::Unavailable { reason })?;
    let written = known.cache.temporary().map_err(unavailable)?;
    let memory = shared.options.compile_memory_bytes;
    let mut worker = Worker::begin(&shared.host, &WorkerKind::compiler(profile), memory, Vec::new())
        .map_err(|error| PrepareError::Unavailable { reason: error.to_string() })?;
    if !shared.flights.take_off(id, worker.killer()) {
        return Err(PrepareError::ShuttingDown);
    }
    let hello =
        worker.hello(&shared.host, memory).map_err(|error| PrepareError::Unavailable { reason: error.to_string() })?;
    if hello.engine != known.hello.engine {
        let reason = "a worker has another engine than the pool began with".to_owned();
        return Err(PrepareError::Unavailable { reason });
    }
    match worker.compile(module.as_fd(), written.file.as_fd(), shared.options.compile_timeout) {
        CompileOutcome::Compiled(kind) => known.cache.store(&digest, &written, kind).map_err(unavailable),
        CompileOutcome::Rejected(reason) => Err(PrepareError::Rejected { reason }),
        CompileOutcome::TimedOut => {
            let seconds = shared.options.compile_timeout.as_secs();
            Err(PrepareError::Rejected { reason: format!("its compilation took longer than {seconds} seconds") })
        }
        CompileOutcome::OutOfMemory => {
            let mebibytes = memory >> 20;
            Err(PrepareError::Rejected { reason: format!("its compilation took more than {mebibytes} MiB of memory") })
        }
        CompileOutcome::Died(how) => Err(PrepareError::Rejected { reason: format!("its compiler crashed: {how}") }),
    }
}

/// Opens an uploaded module and sees to it that it is still what was uploaded.
fn open_checked(shared: &Shared, digest: &wasmbatch_core::Digest) -> Result<File, PrepareError> {
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
