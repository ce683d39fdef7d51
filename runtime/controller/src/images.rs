//! Images that the node's owner loads, lists and deletes: through the executor, which keeps them.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use wasmbatch_executor::{Executor, ImageError, ImageInfo};

use crate::handle::Handle;

/// Images can't be seen to.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// This node runs none.
    #[error("this node runs no images")]
    None,
    /// What the executor says.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The data folder can't be written.
    #[error("the archive could not be written")]
    Io(#[from] std::io::Error),
}

impl Handle {
    /// All images on disk, by name. Blocks.
    ///
    /// # Errors
    /// See [`ImagesError`].
    pub fn list_images(&self) -> Result<Vec<ImageInfo>, ImagesError> {
        Ok(self.shared.executor.images().ok_or(ImagesError::None)?.list())
    }

    /// Forgets a name, or an image by its digest; `false` when there is none. Blocks.
    ///
    /// # Errors
    /// See [`ImagesError`].
    pub fn remove_image(&self, name: &str) -> Result<bool, ImagesError> {
        Ok(self.shared.executor.images().ok_or(ImagesError::None)?.remove(name)?)
    }

    /// Begins the upload of an archive with images.
    ///
    /// # Errors
    /// See [`ImagesError`].
    pub async fn begin_image_upload(&self) -> Result<ImageUpload, ImagesError> {
        self.shared.executor.images().ok_or(ImagesError::None)?;
        let path = self.shared.modules.temporary_path(&self.new_uuid());
        let file = tokio::fs::File::options().read(true).write(true).create_new(true).open(&path).await?;
        Ok(ImageUpload { executor: Arc::clone(&self.shared.executor), file, path })
    }
}

/// An archive under way. However it ends, it leaves nothing but its images.
pub struct ImageUpload {
    executor: Arc<dyn Executor>,
    file: tokio::fs::File,
    path: PathBuf,
}

impl std::fmt::Debug for ImageUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageUpload").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ImageUpload {
    /// Adds bytes.
    ///
    /// # Errors
    /// The data folder can't be written.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), ImagesError> {
        Ok(self.file.write_all(&chunk).await?)
    }

    /// Takes in what the archive has. `name` is for an image that it has no name for.
    ///
    /// # Errors
    /// See [`ImagesError`].
    pub async fn finish(mut self, name: Option<String>) -> Result<Vec<ImageInfo>, ImagesError> {
        self.file.flush().await?;
        let archive = self.file.try_clone().await?.into_std().await;
        let executor = Arc::clone(&self.executor);
        let loaded = tokio::task::spawn_blocking(move || {
            let mut archive = archive;
            std::io::Seek::rewind(&mut archive)?;
            Ok(executor.images().ok_or(ImagesError::None)?.load(archive, name.as_deref())?)
        });
        // A panic in there was told of when it happened.
        loaded.await.unwrap_or_else(|error| Err(ImageError::Store(error.to_string()).into()))
    }
}

impl Drop for ImageUpload {
    fn drop(&mut self) {
        // What stays goes at the next start.
        drop(std::fs::remove_file(&self.path));
    }
}
