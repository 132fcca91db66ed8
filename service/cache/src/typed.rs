//! Typed values over the cache: what a loader brings is turned into bytes once, when it is loaded, and back at each
//! read. Everything else is the cache's: tiers, flights, tags. Each value also carries a tag of its own, so that it can
//! be removed by its key.

use std::{
    error::Error,
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    cache::TieredCache,
    entry::{Entry, Served, Tier},
    error::{InvalidateError, LoadError},
    key::Key,
    loaded::Loaded,
    policy::{Policy, Strategy},
    tag::Tag,
};

/// How often a value is set again when another one took its place in the same moment.
const SET_ATTEMPTS: usize = 8;

/// Turns values into bytes and back.
pub trait Codec<T>: Send + Sync + 'static {
    /// The bytes of a value.
    fn encode(&self, value: &T) -> Result<Vec<u8>, CodecError>;

    /// The value of these bytes. An error means that they are of another form, as after a release that changed the
    /// type: the value is loaded anew.
    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// Why a value could not be turned into bytes, or back.
#[derive(Debug, thiserror::Error)]
#[error("a cached value could not be written or read")]
pub struct CodecError(#[source] pub Box<dyn Error + Send + Sync>);

/// Why there is no value. Every client that waited for a load gets the same error.
#[derive(Debug, thiserror::Error)]
pub enum TypedError<E> {
    /// The loader failed.
    #[error(transparent)]
    Loader(E),
    /// What it brought cannot be turned into bytes.
    #[error(transparent)]
    Codec(CodecError),
}

/// JSON, by serde.
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

#[cfg(feature = "json")]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec<T> for Json {
    fn encode(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(|error| CodecError(error.into()))
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| CodecError(error.into()))
    }
}

/// Values of one type in a cache; made by [`TieredCache::typed`].
pub struct Typed<T, C> {
    cache: TieredCache,
    policy: Policy,
    codec: Arc<C>,
    values: PhantomData<fn() -> T>,
}

impl TieredCache {
    /// Values of type `T` in this cache, each kept as `codec` writes it and for as long as `policy` says. Keys of one
    /// endpoint belong to one type.
    pub fn typed<T, C: Codec<T>>(&self, policy: Policy, codec: C) -> Typed<T, C> {
        Typed {
            cache: self.clone(),
            policy,
            codec: Arc::new(codec),
            values: PhantomData,
        }
    }
}

/// A loader that is used at most once, by whichever read needs it first.
struct Once<F>(Arc<Mutex<Option<F>>>);

impl<F> Once<F> {
    fn is_used(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn take(&self) -> Option<F> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<F> Clone for Once<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static, C: Codec<T>> Typed<T, C> {
    /// The value of `key`, cached or from `loader`; `None` if the loader says that there is no such thing. As for
    /// [`TieredCache::get_or_load`], the tags of one key are always the same.
    ///
    /// A cached value that the codec cannot read is removed and loaded anew.
    pub async fn get_or_load<E, L, F, Fut>(
        &self,
        key: &Key,
        tags: &[Tag],
        loader: F,
    ) -> Result<Option<T>, LoadError<TypedError<E>>>
    where
        E: Send + Sync + 'static,
        L: Into<Loaded<T>>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        let loader = Once(Arc::new(Mutex::new(Some(loader))));
        let served = self.read(key, tags, loader.clone()).await?;
        match self.value_of(&served) {
            Err(_) if served.tier != Tier::Db => {
                tracing::warn!(%key, "a cached value is of another form than its type; it is loaded anew");
                // Applied here in any case; a failure is logged, and repeated, where it happens.
                let _ = self.remove(key).await;
                let served = self.read(key, tags, loader).await?;
                self.value_of(&served).map_err(unreadable)
            }
            value => value.map_err(unreadable),
        }
    }

    /// The value of `key` if it is cached, in memory or in Redis; nothing is loaded. `Some(None)` if it is cached that
    /// there is no such thing. Counts no lookup.
    pub async fn get(&self, key: &Key, tags: &[Tag]) -> Result<Option<Option<T>>, CodecError> {
        let tags = with_own(key, tags);
        match self.cache.get(key, &tags, &self.policy).await {
            Some(served) => self.value_of(&served).map(Some),
            None => Ok(None),
        }
    }

    /// Keeps `value` under `key`, in the place of what is there, everywhere.
    ///
    /// For values whose home is the cache, or that never change; they are read by [`get`](Self::get). A value that is
    /// read from a database does not belong here: a slower writer would keep an older one. Invalidate its tags instead,
    /// and let it be loaded.
    pub async fn set(&self, key: &Key, tags: &[Tag], value: T) -> Result<(), LoadError<TypedError<InvalidateError>>> {
        let loader = move || async move { Ok(Loaded::new(value)) };
        let loader = Once(Arc::new(Mutex::new(Some(loader))));
        // Alone: what another client's load brings is not this value.
        let alone = Self {
            policy: self.policy.with_strategy(Strategy::CacheAside),
            ..self.clone()
        };
        for _ in 0..SET_ATTEMPTS {
            // What was there ends first; what is kept then is as new as the end.
            let removed = self.remove(key).await;
            removed.map_err(|error| LoadError::Loader(Arc::new(TypedError::Loader(error))))?;
            alone.read(key, tags, loader.clone()).await?;
            if loader.is_used() {
                return Ok(());
            }
        }
        Err(LoadError::Aborted)
    }

    /// Removes the value of `key`, everywhere. When it returns, this replica serves nothing from before, also when it
    /// returns an error: then Redis did not take it, and the others follow later.
    pub async fn remove(&self, key: &Key) -> Result<(), InvalidateError> {
        self.cache.invalidate(&[Tag::key(key)]).await.map(drop)
    }

    async fn read<E, L, F, Fut>(
        &self,
        key: &Key,
        tags: &[Tag],
        once: Once<F>,
    ) -> Result<Served, LoadError<TypedError<E>>>
    where
        E: Send + Sync + 'static,
        L: Into<Loaded<T>>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        let (codec, tags) = (Arc::clone(&self.codec), with_own(key, tags));
        let load = move || async move {
            let loaded: Loaded<T> = match once.take() {
                Some(load) => load().await.map_err(TypedError::Loader)?.into(),
                // The first read has used it, and a value that was just loaded cannot be read: a fault of the codec.
                None => return Ok(Loaded::nothing().do_not_keep()),
            };
            encode(&*codec, loaded).map_err(TypedError::Codec)
        };
        self.cache.get_or_load(key, &tags, &self.policy, load).await
    }

    fn value_of(&self, served: &Served) -> Result<Option<T>, CodecError> {
        let entry = served.entry.as_ref();
        entry.map(|entry| self.codec.decode(&entry.body)).transpose()
    }
}

fn encode<T, C: Codec<T>>(codec: &C, loaded: Loaded<T>) -> Result<Loaded, CodecError> {
    loaded.try_map(|value, version| Ok(Entry::new(codec.encode(&value)?, version)))
}

fn unreadable<E>(error: CodecError) -> LoadError<TypedError<E>> {
    LoadError::Loader(Arc::new(TypedError::Codec(error)))
}

fn with_own(key: &Key, tags: &[Tag]) -> Vec<Tag> {
    tags.iter().cloned().chain([Tag::key(key)]).collect()
}

impl<T, C> Clone for Typed<T, C> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            policy: self.policy,
            codec: Arc::clone(&self.codec),
            values: PhantomData,
        }
    }
}

impl<T, C> fmt::Debug for Typed<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
