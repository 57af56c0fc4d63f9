//! The four backends: a thread and a real socket for each, and a way to stop one and bring it back.
//!
//! A stopped backend is as dead as one that crashed: its listening socket and its connections are closed, new ones are
//! refused, its sessions are forgotten. Its port stays ours all the while: a second socket is bound to it that never
//! listens.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::shop::Shop;

/// The backends of the demo. They end with the last handle of them, or with the process: nothing of them must be kept.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) backends: Vec<Backend>,
}

/// One backend, as others see it.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) name: &'static str,
    /// What it takes for a page.
    pub(super) delay: Duration,
    pub(super) address: SocketAddr,
    serving: Arc<AtomicBool>,
    slowed: Arc<AtomicBool>,
    orders: mpsc::Sender<Order>,
}

/// What a backend is told, and where it says that it has done so.
#[derive(Debug)]
enum Order {
    /// Answers with the number of sessions that were forgotten.
    Stop(oneshot::Sender<usize>),
    Start(oneshot::Sender<io::Result<()>>),
}

/// What runs on a backend's thread.
struct Runner {
    name: &'static str,
    delay: Duration,
    address: SocketAddr,
    serving: Arc<AtomicBool>,
    slowed: Arc<AtomicBool>,
    shop: Arc<Shop>,
    /// Absent while it is stopped.
    listener: Option<TcpListener>,
    connections: JoinSet<()>,
    /// Bound and never listening: keeps the port.
    _port: Socket,
}

impl Fleet {
    /// Starts all of them on ports that the kernel chooses.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub(super) fn start() -> io::Result<Self> {
        let start = |(name, delay)| Backend::start(name, Duration::from_millis(delay));
        let backends = BACKENDS.into_iter().map(start);
        Ok(Self {
            backends: backends.collect::<io::Result<_>>()?,
        })
    }

    /// The backend of that name.
    pub(super) fn named(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.name == name)
    }
}

impl Backend {
    fn start(name: &'static str, delay: Duration) -> io::Result<Self> {
        let port = bound((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = port
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a socket of IPv4 has an address of another kind"))?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let context = runtime.enter();
        let listener = listen(address)?;
        drop(context);
        let serving = Arc::new(AtomicBool::new(true));
        let slowed = Arc::new(AtomicBool::new(false));
        let runner = Runner {
            name,
            delay,
            address,
            serving: Arc::clone(&serving),
            shop: Arc::new(Shop::new(name, delay, Arc::clone(&slowed))),
            slowed: Arc::clone(&slowed),
            listener: Some(listener),
            connections: JoinSet::new(),
            _port: port,
        };
        let (orders, received) = mpsc::channel(MOST_ORDERS);
        thread::Builder::new()
            .name(format!("shop-{name}"))
            .spawn(move || runtime.block_on(runner.run(received)))?;
        Ok(Self {
            name,
            delay,
            address,
            serving,
            slowed,
            orders,
        })
    }

    /// Whether it is not stopped.
    pub(super) fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Makes it slow, or as fast as it was.
    pub(super) fn slow(&self, slowed: bool) {
        self.slowed.store(slowed, Ordering::Relaxed);
    }

    /// Stops it; gives the number of sessions that it has forgotten. Nothing happens to one that is stopped.
    pub(super) async fn stop(&self) -> usize {
        self.tell(Order::Stop).await.unwrap_or_default()
    }

    /// Brings it back on its port. Nothing happens to one that serves.
    ///
    /// # Errors
    /// When its port cannot be listened on.
    pub(super) async fn bring_back(&self) -> io::Result<()> {
        let told = self.tell(Order::Start).await;
        told.unwrap_or_else(|| Err(io::Error::other("its thread has ended")))
    }

    async fn tell<T>(&self, order: fn(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (done, is_done) = oneshot::channel();
        self.orders.send(order(done)).await.ok()?;
        is_done.await.ok()
    }
}

impl Runner {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let has_room = self.connections.len() < MOST_CONNECTIONS;
            tokio::select! {
                order = orders.recv() => match order {
                    None => return,
                    Some(Order::Stop(done)) => {
                        // Whoever asked may be gone: it is done all the same.
                        let _ = done.send(self.stop().await);
                    }
                    Some(Order::Start(done)) => {
                        let _ = done.send(self.bring_back());
                    }
                },
                stream = accept(self.listener.as_ref()), if has_room => self.serve(stream),
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    fn serve(&mut self, stream: TcpStream) {
        let shop = Arc::clone(&self.shop);
        self.connections.spawn(serve(stream, move |request| {
            let shop = Arc::clone(&shop);
            async move { shop.answer(request).await }
        }));
    }

    async fn stop(&mut self) -> usize {
        self.serving.store(false, Ordering::Relaxed);
        self.listener = None;
        self.connections.shutdown().await;
        let forgotten = self.shop.sessions();
        self.shop = Arc::new(Shop::new(self.name, self.delay, Arc::clone(&self.slowed)));
        forgotten
    }

    fn bring_back(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            self.listener = Some(listen(self.address)?);
            self.serving.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Serves one connection until either side ends it.
pub(super) async fn serve<A>(
    stream: TcpStream,
    answer: impl Fn(Request<Incoming>) -> A + Send + 'static,
) where
    A: Future<Output = Response<Full<Bytes>>> + Send,
{
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    // A connection that breaks is its client's business.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MOST_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The next connection; never comes while there is no listener.
pub(super) async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // No descriptor is left, most likely: a moment later there may be one.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// A listening socket; to be called within a runtime.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Both: connections of before may linger, and the socket that keeps the port is bound to it as well.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The backends, and the milliseconds that each takes for a page.
const BACKENDS: [(&str, u64); 4] = [("blue", 0), ("green", 0), ("amber", 25), ("coral", 40)];

/// Connections to one backend at once; more wait in the queue of the kernel.
const MOST_CONNECTIONS: usize = 1024;

/// Stops and starts that wait.
const MOST_ORDERS: usize = 8;

const BACKLOG: i32 = 1024;

/// How long a connection may be idle: longer than the balancer keeps one, so that it is the balancer that closes.
const IDLE: Duration = Duration::from_secs(90);

/// Bytes of a connection's buffers.
const MOST_BUFFER: usize = 64 * 1024;

const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net;

    #[test]
    fn a_stopped_backend_refuses_and_comes_back_on_its_port() {
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let backend = Backend::start("blue", Duration::ZERO).unwrap();
        let connect = || net::TcpStream::connect(backend.address).map(drop);
        for _ in 0..3 {
            assert!(backend.is_serving() && connect().is_ok());
            assert_eq!(runtime.block_on(backend.stop()), 0);
            assert!(!backend.is_serving());
            assert_eq!(connect().unwrap_err().kind(), ErrorKind::ConnectionRefused);
            runtime.block_on(backend.stop());
            runtime.block_on(backend.bring_back()).unwrap();
            runtime.block_on(backend.bring_back()).unwrap();
        }
    }
}
