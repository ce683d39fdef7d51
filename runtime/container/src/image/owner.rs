//! What the node's owner does with images.

use std::fs::File;

use wasmbatch_core::Digest;
use wasmbatch_executor::{ImageError, ImageInfo, Images};

use super::ImageStore;
use super::collect::Removed;
use super::error::PullError;
use super::reference::Reference;

impl Images for ImageStore {
    fn list(&self) -> Vec<ImageInfo> {
        self.puller.catalogue.list()
    }

    fn load(&self, archive: File, name: Option<&str>) -> Result<Vec<ImageInfo>, ImageError> {
        let loaded = self.puller.load(archive, name);
        // Of what failed half way nothing shall stay.
        self.puller.catalogue.released.notify_one();
        let loaded = loaded.map_err(|error| match error {
            PullError::Store(why) => ImageError::Store(why),
            other => ImageError::Rejected(other.to_string()),
        })?;
        let all = self.puller.catalogue.list();
        let is_new = |info: &ImageInfo| {
            loaded.iter().any(|loaded| loaded.digest == info.digest && loaded.names.contains(&info.name))
        };
        Ok(all.into_iter().filter(is_new).collect())
    }

    fn remove(&self, name: &str) -> Result<bool, ImageError> {
        let known = match (name.parse::<Digest>(), name.parse::<Reference>()) {
            (Ok(digest), _) => digest.to_string(),
            (Err(_), Ok(reference)) => reference.to_string(),
            (Err(_), Err(_)) => return Ok(false),
        };
        match self.puller.catalogue.remove(&known) {
            Ok(Removed::Gone) => Ok(true),
            Ok(Removed::Missing) => Ok(false),
            Ok(Removed::InUse) => Err(ImageError::InUse(name.to_owned())),
            Err(error) => Err(ImageError::Store(error.to_string())),
        }
    }
}
