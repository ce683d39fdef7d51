//! A bounded file system on disk: an ext4 in a file that has no name any more, behind a loop device.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// linux/loop.h
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// How often a device that somebody else took first is replaced by another.
const TRIES: u32 = 64;
/// Where the tool is, whatever the node's PATH is.
const TOOLS: [&str; 4] = ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4", "/usr/bin/mkfs.ext4", "/usr/local/sbin/mkfs.ext4"];
/// Most of the tool's complaint that is kept, bytes.
const MOST_COMPLAINT: u64 = 1024;

/// A block device with an empty ext4. The kernel takes it apart, and frees its space, once it is
/// dropped and unmounted everywhere.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    device: OwnedFd,
}

impl Disk {
    /// Makes one of so many bytes and inodes, its space in `folder`.
    ///
    /// # Errors
    /// This process may not make devices, the tool is missing, or there is no room. The text is fit
    /// for people.
    pub fn create(folder: &Path, bytes: u64, inodes: u64) -> io::Result<Self> {
        let free = free_bytes(folder)?;
        if free < bytes {
            let text = format!("the disk has {} MiB free and {} MiB are asked for", free >> 20, bytes >> 20);
            return Err(io::Error::other(text));
        }
        let image = Image::create(folder, bytes)?;
        make_file_system(&image.path, inodes)?;
        attach(&image.file)
    }

    /// Where the host has it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The device, held: as long as anybody has it open the kernel doesn't take it apart.
    pub fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    /// Whether this process could make one, or why it couldn't.
    ///
    /// # Errors
    /// What is missing.
    pub fn possible() -> Result<(), String> {
        tool().ok_or("the host has no mkfs.ext4")?;
        match OpenOptions::new().read(true).write(true).open("/dev/loop-control") {
            Ok(_) if rustix::process::geteuid().is_root() => Ok(()),
            Ok(_) => Err("only root may mount devices".to_owned()),
            Err(error) => Err(format!("no loop devices: {error}")),
        }
    }
}

/// A file that has a name only while the tool needs one.
struct Image {
    path: PathBuf,
    file: File,
}

impl Image {
    fn create(folder: &Path, bytes: u64) -> io::Result<Self> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = folder.join(format!("disk-{number}"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let image = Self { path, file };
        image.file.set_len(bytes)?;
        Ok(image)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let state = rustix::fs::statvfs(folder)?;
    Ok(state.f_bavail.saturating_mul(state.f_frsize))
}

fn tool() -> Option<&'static str> {
    TOOLS.into_iter().find(|tool| Path::new(tool).exists())
}

fn make_file_system(image: &Path, inodes: u64) -> io::Result<()> {
    let tool = tool().ok_or_else(|| io::Error::other("the host has no mkfs.ext4"))?;
    #[expect(clippy::disallowed_methods, reason = "this is the jail that makes processes")]
    let mut child = Command::new(tool)
        .args(["-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode", "-E", "nodiscard,lazy_itable_init=1"])
        .arg("-N")
        .arg(inodes.to_string())
        .arg(image)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut complaint = String::new();
    if let Some(stderr) = child.stderr.take() {
        // A complaint that isn't text is no reason not to wait.
        let _ = stderr.take(MOST_COMPLAINT).read_to_string(&mut complaint);
    }
    if child.wait()?.success() { Ok(()) } else { Err(io::Error::other(format!("mkfs.ext4: {}", complaint.trim()))) }
}

/// linux/loop.h: struct loop_config, of which only three members are not zero here.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

#[repr(C)]
struct LoopInfo {
    numbers: [u64; 5],
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    names: [u8; 160],
    init: [u64; 2],
}

fn attach(image: &File) -> io::Result<Disk> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    for _ in 0..TRIES {
        #[expect(unsafe_code, reason = "loop devices are made by ioctl")]
        // SAFETY: it takes no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        match configure(&device, image) {
            Ok(()) => return Ok(Disk { path, device: device.into() }),
            // Somebody else was first.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no loop device is free"))
}

fn configure(device: &File, image: &File) -> io::Result<()> {
    let config = LoopConfig {
        fd: image.as_raw_fd().cast_unsigned(),
        block_size: 4096,
        info: LoopInfo {
            numbers: [0; 5],
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR,
            names: [0; 160],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    #[expect(unsafe_code, reason = "loop devices are made by ioctl")]
    // SAFETY: the configuration is valid for reading and laid out as the kernel wants it.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const _: () = assert!(size_of::<LoopInfo>() == 232 && size_of::<LoopConfig>() == 304);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_a_block_device_that_goes_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        if let Err(why) = Disk::possible() {
            let refused = Disk::create(folder.path(), 64 << 20, 1000).unwrap_err();
            assert!(!refused.to_string().is_empty(), "{why}");
            return;
        }
        let disk = Disk::create(folder.path(), 64 << 20, 1000).unwrap();
        let mut magic = [0; 2];
        use std::os::unix::fs::FileExt as _;
        File::open(disk.path()).unwrap().read_exact_at(&mut magic, 1024 + 56).unwrap();
        assert_eq!(u16::from_le_bytes(magic), 0xef53);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let error = Disk::create(folder.path(), 1 << 60, 1000).unwrap_err();
        assert!(error.to_string().contains("MiB are asked for"), "{error}");
    }
}
