//! A root file system of busybox alone, and runc.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use oci_spec::runtime::Spec;
use wasmbatch_container::cdi::Edits;
use wasmbatch_container::image::ImageConfig;
use wasmbatch_container::oci::user::ResolvedUser;
use wasmbatch_container::oci::{BindMount, Identity, Limits, Plan, SpecError, Starter, specification};
use wasmbatch_executor::{ContainerSettings, NetworkAccess};

/// Users that nobody has.
pub(crate) const FIRST: u32 = 1_950_000_000;

/// How a container ended and what it wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What a test may change before it runs.
pub(crate) struct Bundle {
    folder: tempfile::TempDir,
    id: String,
    pub(crate) settings: ContainerSettings,
    pub(crate) image: ImageConfig,
    pub(crate) identity: Identity,
    pub(crate) network: NetworkAccess,
    pub(crate) mounts: Vec<BindMount>,
    pub(crate) limits: Limits,
    pub(crate) user: ResolvedUser,
    pub(crate) init: Option<PathBuf>,
    pub(crate) edits: Edits,
    pub(crate) read_only_root: bool,
    /// Starts runc in a user namespace of this user, without a cgroup.
    pub(crate) ordinary_user: Option<u32>,
}

#[expect(clippy::disallowed_methods, reason = "runc is what is tested, and tests make its containers by themselves")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

impl Bundle {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("wasmbatch-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        make_root(&folder.path().join("rootfs"));
        Self {
            folder,
            id,
            settings: ContainerSettings::default(),
            image: ImageConfig::default(),
            identity: Identity::Range { first: FIRST },
            network: NetworkAccess::None,
            mounts: Vec::new(),
            limits: Limits { memory_bytes: 64 << 20, swap_bytes: 0, swappiness: None, cpu_thousandths: 1000, pids: 32 },
            user: ResolvedUser::default(),
            init: None,
            edits: Edits::default(),
            read_only_root: true,
            ordinary_user: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// Runs a line of shell.
    pub(crate) fn shell(&self, line: &str) -> Ended {
        self.run(&["/bin/sh", "-c", line])
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.write(arguments);
        let output = self.runc(&["run", "--bundle"]).arg(self.path()).arg(&self.id).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn write(&self, arguments: &[&str]) {
        self.specification(arguments).unwrap().save(self.path().join("config.json")).unwrap();
    }

    pub(crate) fn specification(&self, arguments: &[&str]) -> Result<Spec, SpecError> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (rootfs, cgroup) = (self.rootfs(), PathBuf::from(format!("/{}", self.id)));
        specification(&Plan {
            arguments: &arguments,
            environment: &[],
            settings: &self.settings,
            image: &self.image,
            rootfs: &rootfs,
            read_only_root: self.read_only_root,
            identity: self.identity,
            network: self.network,
            mounts: &self.mounts,
            cgroup: self.ordinary_user.is_none().then_some(&*cgroup),
            limits: self.ordinary_user.is_none().then_some(self.limits),
            starter: Starter::look().unwrap(),
            user: &self.user,
            init: self.init.as_deref(),
            devices: &[],
            edits: &self.edits,
            hostname: "box",
        })
    }

    pub(crate) fn runc(&self, arguments: &[&str]) -> Command {
        let mut command = match self.ordinary_user {
            None => command(program("runc").unwrap()),
            Some(user) => {
                let mut command = command("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={user}")]);
                command.args(["--clear-groups", "unshare", "--user", "--map-root-user", "--mount"]);
                command.arg(program("runc").unwrap()).arg("--rootless=true");
                command
            }
        };
        command.arg("--root").arg(self.path().join("state")).args(arguments).stdin(Stdio::null());
        command
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.runc(&["delete", "--force"]).arg(&self.id).output();
    }
}

/// A program that these tests need: what `tests/compat/tools` fetched, or the host's.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    // Below target/debug/deps.
    let tools = own.ancestors().nth(3)?.join("image-tools");
    let fetched = ["usr/sbin", "usr/bin", "sbin", "bin"].map(|folder| tools.join(folder));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let host = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    fetched.into_iter().chain(host).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Whether containers can be run here. In continuous integration they have to be.
pub(crate) fn able() -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "root"
    } else if let Some(missing) = ["runc", "busybox"].into_iter().find(|name| program(name).is_none()) {
        missing
    } else {
        return true;
    };
    assert!(std::env::var_os("CI").is_none(), "{missing} is needed: see tests/run");
    eprintln!("not shown here: {missing} is needed");
    false
}

fn make_root(root: &Path) {
    for folder in ["bin", "dev", "proc", "etc", "work", "tmp"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let busybox = program("busybox").unwrap();
    fs::copy(&busybox, root.join("bin/busybox")).unwrap();
    let names = command(busybox).arg("--list").output().unwrap();
    for name in String::from_utf8(names.stdout).unwrap().lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/work:/bin/sh\n").unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    chown(root, Some(FIRST), Some(FIRST)).unwrap();
    for folder in ["bin", "etc", "work", "tmp", "bin/busybox", "etc/passwd"] {
        chown(root.join(folder), Some(FIRST), Some(FIRST)).unwrap();
    }
}
