//! A store in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use wasmbatch_container::image::{Image, ImageStore, Options, PullError, Resolved, Ticket};

use crate::registry::Registry;

pub(crate) const UNPACK_FLAG: &str = "--unpack";

/// Those of a store that is quick to give up.
pub(crate) fn options(home: PathBuf, registry: &str) -> Options {
    let program = std::env::current_exe().unwrap();
    let mut options = Options::new(home, vec![program.into(), UNPACK_FLAG.into()]);
    options.plain_http_registries = vec![registry.to_owned()];
    options.retry_delay = Duration::from_millis(5);
    options.stall_timeout = Duration::from_secs(2);
    options
}

pub(crate) struct Node {
    pub(crate) store: ImageStore,
    pub(crate) options: Options,
    pub(crate) home: tempfile::TempDir,
}

impl Node {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self::with(registry, |_| ())
    }

    pub(crate) fn with(registry: &Registry, change: impl FnOnce(&mut Options)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut options = options(home.path().to_owned(), &registry.host);
        change(&mut options);
        let store = ImageStore::open(options.clone()).unwrap();
        Self { store, options, home }
    }

    /// With what is in a folder already.
    pub(crate) fn at(home: tempfile::TempDir, registry: &Registry) -> Self {
        let options = options(home.path().to_owned(), &registry.host);
        let store = ImageStore::open(options.clone()).unwrap();
        Self { store, options, home }
    }

    /// Ends the store and opens it anew.
    pub(crate) fn restart(self) -> Self {
        let Self { store, options, home } = self;
        drop(store);
        let store = ImageStore::open(options.clone()).unwrap();
        Self { store, options, home }
    }

    pub(crate) fn begin(&self, reference: &str) -> (Ticket, Receiver<Result<Resolved, PullError>>) {
        let (sender, receiver) = sync_channel(1);
        let ticket = self.store.resolve(reference, Box::new(move |result| drop(sender.send(result))));
        (ticket, receiver)
    }

    pub(crate) fn resolve(&self, reference: &str) -> Result<Resolved, PullError> {
        let (_ticket, receiver) = self.begin(reference);
        receiver.recv_timeout(Duration::from_secs(120)).unwrap()
    }

    pub(crate) fn image(&self, reference: &str) -> Arc<Image> {
        match self.resolve(reference).unwrap() {
            Resolved::Image(image) => image,
            Resolved::Module(module) => panic!("{reference} is the module {module}"),
        }
    }

    pub(crate) fn error(&self, reference: &str) -> String {
        self.resolve(reference).unwrap_err().to_string()
    }

    /// Waits for what happens in the background.
    pub(crate) fn until(&self, fits: impl Fn(&Self) -> bool) {
        let begun = std::time::Instant::now();
        while !fits(self) {
            assert!(begun.elapsed() < Duration::from_secs(60), "it doesn't happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Forgets all images, and waits until their layers are gone.
    pub(crate) fn store_is_emptied(&self) {
        use wasmbatch_executor::Images as _;
        for image in self.store.list() {
            assert!(self.store.remove(&image.name).unwrap());
        }
        assert!(self.names("layers").is_empty());
    }

    /// Who of this host owns what an image's user does.
    pub(crate) fn host_user(&self, user: u32) -> u32 {
        let own = rustix::process::geteuid();
        match (own.is_root(), set_aside()) {
            (true, _) => self.options.image_uid_base + user,
            (false, Some(first)) if user > 0 => first + user - 1,
            (false, _) => own.as_raw(),
        }
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.home.path().join("images")
    }

    /// Names in a folder of the store.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        names(&self.images().join(folder))
    }
}

/// The first user that this host sets aside for this one.
fn set_aside() -> Option<u32> {
    let own = rustix::process::geteuid().as_raw().to_string();
    let text = std::fs::read_to_string("/etc/subuid").ok()?;
    text.lines().find_map(|line| line.strip_prefix(&own)?.split(':').nth(1)?.parse().ok())
}

/// Whether this process may mount; says so where it can't, so that nobody takes it for shown.
pub(crate) fn may_mount(test: &str) -> bool {
    let may = rustix::process::geteuid().is_root();
    if !may {
        eprintln!("not shown to an ordinary user: {test}");
    }
    may
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
