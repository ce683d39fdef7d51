//! From a reference to an image on disk.

use std::fs::File;
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmbatch_core::Digest;
use wasmbatch_jail::Killer;

use super::catalogue::{Catalogue, Content, LayerRow, Pin};
use super::download::download;
use super::error::PullError;
use super::flights::Flights;
use super::manifest::{self, Descriptor, Manifest};
use super::options::Options;
use super::reference::{Reference, Version};
use super::registry::{Client, MOST_TRIES};
use super::unpacker::{Bounds, Folder, Running, UnpackError, Unpacker};
use super::{Image, ImageConfig, Resolved, implied};
use crate::unpack::wire::{Form, Unpacked};

/// Layers that one pull gets at a time.
const LAYERS_AT_ONCE: usize = 3;
/// Archives that are unpacked at a time.
const UNPACKED_AT_ONCE: usize = 2;

/// What all pulls share.
#[derive(Debug)]
pub(crate) struct Puller {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) unpacker: Arc<Unpacker>,
    pub(crate) options: Options,
    client: Client,
    tags: Flights<Reference, Result<Top, PullError>>,
    /// Held while a tag is asked for, so that one request follows the other.
    asking: Mutex<std::collections::BTreeMap<Reference, Weak<tokio::sync::Mutex<()>>>>,
    images: Flights<(String, String, Digest), Result<Held, PullError>>,
    layers: Flights<Digest, Result<Digest, PullError>>,
    unpacking: Semaphore,
}

/// What a tag stands for, and its text where that came along.
type Top = (Digest, Option<Arc<Vec<u8>>>);

/// What was pulled, held until it is handed out.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Module(Digest, Digest),
    Image(Arc<Image>),
}

impl Held {
    fn of(resolved: Resolved, digest: Digest) -> Self {
        match resolved {
            Resolved::Module(module) => Self::Module(digest, module),
            Resolved::Image(image) => Self::Image(image),
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Module(digest, _) => *digest,
            Self::Image(image) => image.digest,
        }
    }

    fn resolved(self) -> Resolved {
        match self {
            Self::Module(_, module) => Resolved::Module(module),
            Self::Image(image) => Resolved::Image(image),
        }
    }
}

/// Ends a process of a flight that was given up.
struct KillOnDrop(Option<Killer>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(killer) = &self.0 {
            killer.kill();
        }
    }
}

/// Removes a file that is of no use to anybody else.
struct RemoveOnDrop(std::path::PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // It may never have come to be; and else the next start removes it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Has the collector look once a pull has ended, also by being given up.
struct NotifyOnDrop(Arc<tokio::sync::Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Collects whenever something may have become superfluous, for as long as the store is there.
pub(crate) async fn collect(puller: Arc<Puller>) {
    // At first only what is of no use to anybody: containers that outlived the last process are still
    // to lease their images.
    let mut most = u64::MAX;
    loop {
        let catalogue = Arc::clone(&puller.catalogue);
        if let Err(error) = blocking(move || catalogue.collect(most)).await {
            tracing::warn!(error = %error, "images that nobody needs are not removed");
        }
        let released = puller.catalogue.released.notified();
        // Being told isn't everything: partial downloads grow old by themselves.
        let _ = tokio::time::timeout(COLLECT_EVERY, released).await;
        most = puller.options.most_store_bytes;
    }
}

impl Puller {
    pub(crate) fn new(catalogue: Arc<Catalogue>, unpacker: Arc<Unpacker>, client: Client, options: Options) -> Self {
        Self {
            catalogue,
            unpacker,
            options,
            client,
            tags: Flights::default(),
            asking: Mutex::default(),
            images: Flights::default(),
            layers: Flights::default(),
            unpacking: Semaphore::new(UNPACKED_AT_ONCE),
        }
    }

    /// Finds or fetches what a reference stands for.
    pub(crate) async fn resolve(self: Arc<Self>, text: &str) -> Result<Resolved, PullError> {
        if let Ok(digest) = text.parse::<Digest>() {
            let found = self.catalogue.image_of(&digest).and_then(|digest| self.catalogue.lease(&digest));
            return found.ok_or_else(|| PullError::Unsupported(format!("no image on this node is {digest}")));
        }
        let reference: Reference = text.parse()?;
        if let Some(resolved) = self.known(&reference) {
            return Ok(resolved);
        }
        let allowed = &self.options.allowed_registries;
        if !allowed.is_empty() && !allowed.contains(&reference.registry) {
            return Err(PullError::NotAllowed(reference.registry));
        }
        let limit = self.options.pull_timeout;
        // Whatever becomes of it: what is superfluous afterwards goes.
        let _collect = NotifyOnDrop(Arc::clone(&self.catalogue.released));
        match tokio::time::timeout(limit, Arc::clone(&self).pull(&reference)).await {
            Ok(pulled) => pulled,
            Err(_) => Err(PullError::TimedOut(limit)),
        }
    }

    /// What needs no registry: what was loaded, and what is named by its digest.
    fn known(&self, reference: &Reference) -> Option<Resolved> {
        let name = reference.to_string();
        let digest = match (&reference.version, self.catalogue.name(&name)) {
            (_, Some(row)) if row.loaded => row.image.parse().ok()?,
            (Version::Digest(digest), _) => self.catalogue.image_of(digest)?,
            (Version::Tag(_), _) => return None,
        };
        self.used(&name, &digest)
    }

    fn used(&self, name: &str, image: &Digest) -> Option<Resolved> {
        let resolved = self.catalogue.lease(image)?;
        if let Some(row) = self.catalogue.name(name)
            && let Ok(top) = row.top.parse()
            && row.image == image.to_string()
            && let Err(error) = self.catalogue.set_name(name, &top, image, row.loaded)
        {
            tracing::debug!(error = %error, "the use of an image is not recorded");
        }
        Some(resolved)
    }

    async fn pull(self: Arc<Self>, reference: &Reference) -> Result<Resolved, PullError> {
        let name = reference.to_string();
        let (top, text) = match self.top(reference).await {
            Ok(top) => top,
            Err(error) if error.is_unreachable() => {
                let row = self.catalogue.name(&name);
                let image = row.and_then(|row| row.image.parse().ok());
                let Some(resolved) = image.and_then(|image| self.used(&name, &image)) else { return Err(error) };
                tracing::warn!(image = %name, error = %error, "an image is used as it was when its registry was last reached");
                return Ok(resolved);
            }
            Err(error) => return Err(error),
        };
        let held = match self.catalogue.image_of(&top).and_then(|image| Some((image, self.catalogue.lease(&image)?))) {
            Some((image, resolved)) => Held::of(resolved, image),
            None => {
                let key = (reference.registry.clone(), reference.repository.clone(), top);
                let begin = || Arc::clone(&self).fetch_image(reference.clone(), top, text).boxed();
                let (flight, begun) = self.images.join(&key, begin);
                let since = std::time::Instant::now();
                let held = flight.await?;
                if begun {
                    let milliseconds = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(image = %name, digest = %held.digest(), milliseconds, "an image was pulled");
                }
                held
            }
        };
        let set = self.catalogue.set_name(&name, &top, &held.digest(), false);
        set.map_err(PullError::store("a name"))?;
        Ok(held.resolved())
    }

    /// What a reference stands for now, as its registry has it. One request serves all who asked
    /// before it was sent.
    async fn top(self: &Arc<Self>, reference: &Reference) -> Result<Top, PullError> {
        if let Version::Digest(digest) = reference.version {
            return Ok((digest, None));
        }
        let (this, key) = (Arc::clone(self), reference.clone());
        let begin = move || {
            async move {
                let turn = this.turn(&key);
                let _turn = turn.lock().await;
                this.tags.close(&key);
                // Where there is a copy nobody has to wait for a registry that has no time.
                let tries = if this.catalogue.name(&key.to_string()).is_some() { 1 } else { MOST_TRIES };
                match this.client.digest_of_tag(&key, tries).await? {
                    Some(digest) => Ok((digest, None)),
                    None => {
                        let text = this.client.manifest(&key, None).await?;
                        Ok((sha256(&text), Some(Arc::new(text))))
                    }
                }
            }
            .boxed()
        };
        self.tags.join(reference, begin).0.await
    }

    fn turn(&self, reference: &Reference) -> Arc<tokio::sync::Mutex<()>> {
        let mut asking = self.asking.lock().expect("no holder of this lock panics");
        asking.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = asking.get(reference).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        asking.insert(reference.clone(), Arc::downgrade(&turn));
        turn
    }

    /// Fetches all of an image that isn't here.
    async fn fetch_image(
        self: Arc<Self>,
        reference: Reference,
        top: Digest,
        text: Option<Arc<Vec<u8>>>,
    ) -> Result<Held, PullError> {
        let text = match text {
            Some(text) => text.to_vec(),
            None => self.manifest(&reference, top).await?,
        };
        let mut digest = top;
        let mut parsed = manifest::parse(&text, self.options.most_layers)?;
        if let Manifest::Index(entry) = parsed {
            digest = entry.digest;
            if let Some(resolved) = self.catalogue.lease(&digest) {
                return Ok(Held::of(resolved, digest));
            }
            let text = self.manifest(&reference, digest).await?;
            parsed = manifest::parse(&text, self.options.most_layers)?;
        }
        let _pin = self.catalogue.pin(&digest);
        match parsed {
            Manifest::Index(_) => Err(PullError::Unsupported("an index within an index is not supported".to_owned())),
            Manifest::Module(layer) => {
                let pin = self.catalogue.pin(&layer.digest);
                let content = self.fetch_module(&reference, &layer).await?;
                self.add(digest, content)?;
                drop(pin);
                self.hand_out(digest)
            }
            Manifest::Image { config, layers } => {
                let pins: Vec<_> = layers.iter().map(|layer| self.catalogue.pin(&layer.digest)).collect();
                let (content, addition) = Arc::clone(&self).fetch_layers(&reference, &config, &layers).await?;
                // The layers are kept by their image once it is there.
                self.add(digest, content)?;
                drop((pins, addition));
                self.hand_out(digest)
            }
        }
    }

    /// Takes in what was pulled.
    fn add(&self, digest: Digest, content: Content) -> Result<(), PullError> {
        self.catalogue.add_image(&digest, content).map_err(PullError::store("an image"))
    }

    fn hand_out(&self, digest: Digest) -> Result<Held, PullError> {
        let resolved = self.catalogue.lease(&digest);
        let resolved = resolved.ok_or_else(|| PullError::Store("an image that was just pulled is gone".to_owned()))?;
        Ok(Held::of(resolved, digest))
    }

    async fn manifest(&self, reference: &Reference, digest: Digest) -> Result<Vec<u8>, PullError> {
        let text = self.client.manifest(reference, Some(digest)).await?;
        let got = sha256(&text);
        if got != digest {
            return Err(PullError::Digest { what: format!("manifest {reference}"), expected: digest, got });
        }
        Ok(text)
    }

    async fn fetch_module(&self, reference: &Reference, layer: &Descriptor) -> Result<Content, PullError> {
        let partial = self.catalogue.temporary.partial(&format!("module-{}", layer.digest.hex()));
        let path = download(&self.client, reference, layer, partial, self.options.retry_delay).await?;
        let stored = PullError::store("a module");
        let target = self.catalogue.module_path(&layer.digest);
        File::open(&path).and_then(|file| file.sync_all()).map_err(&stored)?;
        std::fs::rename(path, target).map_err(&stored)?;
        Ok(Content::Module { digest: layer.digest.to_string(), bytes: layer.size })
    }

    async fn fetch_layers(
        self: Arc<Self>,
        reference: &Reference,
        config: &Descriptor,
        layers: &[Descriptor],
    ) -> Result<(Content, Option<Pin>), PullError> {
        let limit = self.options.most_image_bytes;
        if layers.is_empty() {
            return Err(PullError::Unsupported("the image has no layers".to_owned()));
        }
        for layer in layers {
            manifest::check_size(&format!("layer {}", layer.digest), layer.size, limit)?;
        }
        let text = self.fetch_config(reference, config).await?;
        let (config, diff_ids) = manifest::parse_config(&text)?;
        if diff_ids.len() != layers.len() {
            let text = format!("the image has {} layers and {} diff_ids", layers.len(), diff_ids.len());
            return Err(PullError::Unsupported(text));
        }
        let fetched: Vec<_> =
            layers.iter().map(|l| Arc::clone(&self).layer(reference.clone(), l.clone()).boxed()).collect();
        let mut fetched = futures_util::stream::iter(fetched).buffer_unordered(LAYERS_AT_ONCE);
        while let Some(layer) = fetched.next().await {
            layer?;
        }
        drop(fetched);
        let digests: Vec<Digest> = layers.iter().map(|layer| layer.digest).collect();
        let (catalogue, owner) = (Arc::clone(&self.catalogue), self.unpacker.owner());
        let put = blocking(move || Ok(put_together(&catalogue, &digests, &diff_ids, limit, owner, config)));
        put.await.map_err(PullError::store("an image"))?
    }

    async fn fetch_config(&self, reference: &Reference, config: &Descriptor) -> Result<Vec<u8>, PullError> {
        // It is small: a later try gets it anew.
        let file = RemoveOnDrop(self.catalogue.temporary.path("config"));
        let path = download(&self.client, reference, config, file.0.clone(), self.options.retry_delay).await?;
        std::fs::read(path).map_err(PullError::store("a configuration"))
    }

    /// Fetches and unpacks a layer, or waits for who does.
    async fn layer(self: Arc<Self>, reference: Reference, layer: Descriptor) -> Result<(), PullError> {
        for _ in 0..2 {
            if self.catalogue.layer(&layer.digest).is_some() {
                return Ok(());
            }
            let begin = || Arc::clone(&self).fetch_layer(reference.clone(), layer.clone()).boxed();
            let (flight, begun) = self.layers.join(&layer.digest, begin);
            match flight.await {
                // Another registry's failure says nothing about this one.
                Err(_) if !begun => {}
                fetched => return fetched.map(|_| ()),
            }
        }
        Arc::clone(&self).fetch_layer(reference, layer).await.map(|_| ())
    }

    async fn fetch_layer(self: Arc<Self>, reference: Reference, layer: Descriptor) -> Result<Digest, PullError> {
        let _pin = self.catalogue.pin(&layer.digest);
        let partial = self.catalogue.temporary.partial(&layer.digest.hex());
        let path = download(&self.client, &reference, &layer, partial, self.options.retry_delay).await?;
        let _permit = self.unpacking.acquire().await.expect("nobody closes it");
        let archive = File::open(&path).map_err(PullError::store("a layer"))?;
        let unpacked = Arc::clone(&self).unpack(archive, Form::Layer).await;
        // Whether it could be unpacked or not: the same bytes would come again.
        let _ = std::fs::remove_file(&path);
        let (unpacked, folder) = unpacked.map_err(|error| unpack_error(error, layer.digest))?;
        let this = Arc::clone(&self);
        let added = blocking(move || this.catalogue.add_layer(&layer.digest, row(&layer.digest, unpacked), folder));
        added.await.map_err(PullError::store("a layer"))?;
        Ok(layer.digest)
    }

    /// Unpacks an archive in a process that ends when this isn't waited for any more.
    async fn unpack(self: Arc<Self>, archive: File, form: Form) -> Result<(Unpacked, Folder), UnpackError> {
        let running = blocking(move || Ok(self.begin(archive, form))).await??;
        let _kill = KillOnDrop(Some(running.killer()));
        blocking(move || Ok(running.finish())).await?
    }

    pub(crate) fn begin(&self, archive: File, form: Form) -> Result<Running, UnpackError> {
        let Options { most_image_bytes: bytes, most_layer_entries: entries, pull_timeout: time, .. } = self.options;
        let bounds = Bounds { time, bytes, entries };
        self.unpacker.begin(archive, form, bounds, self.catalogue.temporary.folder()?)
    }
}

/// Runs what blocks on a thread for that. What was given up still runs to its end there.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

pub(crate) fn unpack_error(error: UnpackError, layer: Digest) -> PullError {
    match error {
        UnpackError::Refused(reason) => PullError::Unpack { layer, reason },
        UnpackError::Io(error) => PullError::Store(format!("layer {layer}: {error}")),
    }
}

pub(crate) fn row(digest: &Digest, unpacked: Unpacked) -> LayerRow {
    let Unpacked { hash, bytes, entries, mut implied } = unpacked;
    // What tells it has read a stranger's archive: it isn't believed either.
    let is_plain = |path: &String| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    implied.retain(is_plain);
    let diff_id = Digest::from_bytes(hash).to_string();
    LayerRow { digest: digest.to_string(), diff_id, bytes, entries, implied }
}

/// An image of layers that are there, the lowest first. What it needs beside them is kept for as long
/// as the pin. Blocks.
pub(crate) fn put_together(
    catalogue: &Arc<Catalogue>,
    digests: &[Digest],
    diff_ids: &[Digest],
    limit: u64,
    owner: (u32, u32),
    config: ImageConfig,
) -> Result<(Content, Option<Pin>), PullError> {
    check_layers(catalogue, digests, diff_ids, limit)?;
    let mut layers: Vec<String> = digests.iter().map(Digest::to_string).collect();
    let addition = implied::addition(catalogue, digests, owner)?;
    let (digest, pin) = addition.unzip();
    layers.extend(digest.map(|digest| digest.to_string()));
    Ok((Content::Image { config, layers }, pin))
}

/// Holds layers against what their image's configuration says of them, and against the limit.
fn check_layers(catalogue: &Catalogue, layers: &[Digest], diff_ids: &[Digest], limit: u64) -> Result<(), PullError> {
    let mut bytes = 0_u64;
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        let row = catalogue.layer(layer).ok_or_else(|| PullError::Store(format!("layer {layer} is gone")))?;
        let got = row.diff_id.parse().map_err(|_| PullError::Store(format!("layer {layer} has no diff_id")))?;
        if got != *diff_id {
            let what = format!("layer {layer} without compression");
            return Err(PullError::Digest { what, expected: *diff_id, got });
        }
        bytes = bytes.saturating_add(row.bytes);
    }
    manifest::check_size("the image", bytes, limit)
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// How long nothing else happens before the collector looks again.
const COLLECT_EVERY: Duration = Duration::from_secs(3600);
