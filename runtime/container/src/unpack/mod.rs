//! Unpacking archives of strangers, in a process of its own that sees the target folder and nothing
//! else. The store's side of it is `image::unpacker`.

pub(crate) mod wire;

mod source;
mod tar;
mod write;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use wasmbatch_jail::unpacker::{self, Target};
use wasmbatch_jail::{inherited, scratch};

use source::Source;
use tar::{Kind, Tar};
use wire::{Form, Orders, Report, Unpacked};
use write::Writer;

/// Room beyond the decompressed bytes, for files with holes.
const HOLES: u64 = 64 << 30;

/// Unpacks one archive: the whole life of a process that an [`ImageStore`](crate::image::ImageStore)
/// begins. It is of no use otherwise.
pub fn unpack_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The store reads what its children write to stderr.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let socket = inherited::claim(inherited::SOCKET)?;
    let archive = File::from(inherited::claim(wire::ARCHIVE)?);
    let Some(mut orders) = wire::receive::<Orders>(socket.as_fd())? else { return Ok(()) };
    let target = match orders.target.take() {
        Some(path) => Target::Path(path),
        None => Target::Mount(inherited::claim(wire::TARGET)?),
    };
    let folder = unpacker::enclose(target, orders.most_bytes.saturating_add(HOLES))?;
    let done = match orders.form {
        Form::Nothing => scratch::empty(&folder).map(|()| Unpacked::default()).map_err(|error| error.to_string()),
        Form::Layer | Form::Files => unpack(archive, &orders, Writer::new(folder, &orders)?),
    };
    let report = match done {
        Ok(unpacked) => Report::Unpacked(unpacked),
        Err(refusal) => Report::Refused(refusal),
    };
    wire::send(socket.as_fd(), &report)
}

fn unpack(archive: File, orders: &Orders, mut writer: Writer) -> Result<Unpacked, String> {
    let source = Source::new(archive, orders.most_bytes).map_err(|error| error.to_string())?;
    let hash = source.hash();
    let mut tar = Tar::new(source);
    let mut last = String::new();
    loop {
        let entry = match tar.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) if last.is_empty() => return Err(error.to_string()),
            Err(error) => return Err(format!("{error}, after entry {last}")),
        };
        last = shown(&entry.path);
        // The cause first: of a long text only the beginning gets to a job's owner.
        let refused = |error: write::EntryError| format!("{error}, of entry {}", shown(&entry.path));
        match entry.kind {
            Kind::Special | Kind::Unknown => {}
            Kind::File => writer.file(&entry, &mut tar).map_err(refused)?,
            Kind::Folder => writer.folder(&entry).map_err(refused)?,
            Kind::Symlink => writer.symlink(&entry).map_err(refused)?,
            Kind::HardLink => writer.hard_link(&entry).map_err(refused)?,
        }
    }
    tar.finish().map_err(|error| error.to_string())?;
    let (bytes, entries, implied) = writer.finish().map_err(|error| error.to_string())?;
    Ok(Unpacked { hash: source::finished(&hash), bytes, entries, implied })
}

/// The beginning of a name, fit for people.
fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(&path[..path.len().min(200)]).into_owned();
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
