//! Services that others have made, each started on this machine for one test and
//! ended with it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::common::wait_until;

/// A service that is there as long as this is.
pub struct Service {
    child: Child,
    pub port: u16,
}

impl Service {
    /// What `make` starts, on a port that it is told.
    pub fn start(make: impl Fn(u16) -> Command) -> Service {
        // Another program may take the port before it does.
        for _ in 0..5 {
            if let Some(service) = Service::start_once(&make) {
                return service;
            }
        }
        panic!("it ends at once, five times");
    }

    /// `None` if it has ended before it answered.
    fn start_once(make: &impl Fn(u16) -> Command) -> Option<Service> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of this machine");
        let port = free.local_addr().expect("it has an address").port();
        drop(free);
        let mut command = make(port);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("it can be started");
        let mut service = Service { child, port };
        let mut has_ended = false;
        wait_until("the service answers", || {
            has_ended = service.child.try_wait().is_ok_and(|status| status.is_some());
            has_ended || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        (!has_ended).then_some(service)
    }

    /// Makes a request that must succeed, and returns the whole answer. `headers` end
    /// each with a line end.
    #[track_caller]
    pub fn send(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it is there");
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n\
             Connection: close\r\n{headers}\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("it listens");
        stream.write_all(body).expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with("20"), "{method} {target}: {answer}");
        answer
    }

    /// The address of what it calls `target`.
    pub fn url(&self, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.port)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
