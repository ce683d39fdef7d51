//! Listening: bounded connections, bounded patience, and an orderly end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use wasmbatch_controller::Handle;

use crate::body::drain as drain_body;
use crate::error::{ApiError, Dialect};
use crate::guard::REQUEST_ID;
use crate::options::{Limits, NotLoopback, Options, check_listen};
use crate::router::router;
use crate::state::ServerState;

/// Connections beyond the bound that are answered with 429 at once.
const OVERFLOW_CONNECTIONS: usize = 64;
/// Pause after a failed accept: the process has no descriptor left for the moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The server can't begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener can be reached from elsewhere.
    #[error(transparent)]
    NotLoopback(#[from] NotLoopback),
    /// The listener's address is not known.
    #[error("the listener has no address")]
    Listener(#[source] std::io::Error),
}

/// Serves until `shutdown` resolves, then takes no new connections, lets requests under way finish
/// within `limits.drain_time`, and returns.
///
/// # Errors
/// The listener is not on a loopback address.
pub async fn serve(
    listener: TcpListener,
    mut options: Options,
    handle: Handle,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    options.listen = listener.local_addr().map_err(ServeError::Listener)?;
    check_listen(options.listen)?;
    let limits = options.limits.clone();
    let (drain, draining) = watch::channel(false);
    let overflow = Router::new().fallback(come_back_later).with_state(handle.clone());
    let app = router(ServerState::new(options, handle, draining.clone()));
    let room = Arc::new(Semaphore::new(limits.connections));
    let spare = Arc::new(Semaphore::new(OVERFLOW_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        // Each branch is cancel safe: an accepted connection is returned by the accept that is
        // chosen, a joined one by the join.
        tokio::select! {
            () = &mut shutdown => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    let (permit, app) = match room.clone().try_acquire_owned() {
                        Ok(permit) => (permit, app.clone()),
                        Err(_) => match spare.clone().try_acquire_owned() {
                            Ok(permit) => (permit, overflow.clone()),
                            Err(_) => continue,
                        },
                    };
                    connections.spawn(connection(stream, app, limits.clone(), draining.clone(), permit));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    // Nobody listening any more is fine: then there is nobody to tell.
    let _ = drain.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_time, all_ended).await.is_err() {
        tracing::warn!("requests were still under way at the end of the drain time");
    }
    connections.shutdown().await;
    Ok(())
}

async fn connection(
    stream: TcpStream,
    app: Router,
    limits: Limits,
    mut draining: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut serving = pin!(serving);
    // The value seen is let go of at once: it holds a lock. A sender gone means the same as `true`.
    let drained = async { drop(draining.wait_for(|draining| *draining).await) };
    let result = tokio::select! {
        result = &mut serving => result,
        () = drained => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = crate::error::chain(&error), "a connection ended early");
    }
}

async fn come_back_later(State(handle): State<Handle>, request: Request) -> Response {
    drain_body(request.into_body()).await;
    let request_id = handle.new_uuid();
    let mut response = ApiError::too_many_requests().into_response(Dialect::RestJson, &request_id);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}
