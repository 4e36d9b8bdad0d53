//! What lies between a program and a server: it counts what is sent, and may break a
//! connection anywhere within.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

/// After how many bytes to the server a connection breaks, by its number.
type Breaks = dyn Fn(usize) -> Option<u64> + Send + Sync;

struct Shared {
    server: SocketAddr,
    breaks: Box<Breaks>,
    connections: AtomicUsize,
    sent: AtomicU64,
    over: AtomicBool,
}

/// A way to a server that is there as long as this is.
pub struct Way {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Way {
    pub fn to(
        server: SocketAddr,
        breaks: impl Fn(usize) -> Option<u64> + Send + Sync + 'static,
    ) -> Way {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared {
            server,
            breaks: Box::new(breaks),
            connections: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let listening = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if of_thread.over.load(SeqCst) {
                    break;
                }
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || shared.carry(&stream));
            }
        });
        Way { address, shared, listening: Some(listening) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes to the server so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(SeqCst)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        self.listening.take().map(JoinHandle::join);
    }
}

impl Shared {
    /// Until either side has enough, or the connection is to break.
    fn carry(&self, client: &TcpStream) {
        let number = self.connections.fetch_add(1, SeqCst);
        let Ok(server) = TcpStream::connect(self.server) else { return };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _ = std::io::copy(&mut &server, &mut &*client);
                let _ = client.shutdown(Shutdown::Both);
            });
            self.send(client, &server, (self.breaks)(number));
            let _ = server.shutdown(Shutdown::Both);
            let _ = client.shutdown(Shutdown::Both);
        });
    }

    fn send(&self, mut client: &TcpStream, mut server: &TcpStream, limit: Option<u64>) {
        let (mut buffer, mut left) = (vec![0; 16 << 10], limit.unwrap_or(u64::MAX));
        while left > 0 {
            let most = left.min(buffer.len() as u64) as usize;
            let Ok(count @ 1..) = client.read(&mut buffer[..most]) else { return };
            if server.write_all(&buffer[..count]).is_err() {
                return;
            }
            left -= count as u64;
            self.sent.fetch_add(count as u64, SeqCst);
        }
    }
}
