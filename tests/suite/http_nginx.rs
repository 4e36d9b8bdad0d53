//! A server as they are: nginx, started here and ended here.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Scene, assert_same, has_tools, pattern};
use crate::server::CA;

/// nginx with its files in a folder of its own.
struct Nginx {
    child: Child,
    ports: [u16; 2],
    folder: tempfile::TempDir,
}

impl Nginx {
    /// One that hands out what is in `www`; a skip where there is none.
    fn start() -> Option<Nginx> {
        if !has_tools(&["nginx"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("www")).unwrap();
        // Somebody else may take a port that was free a moment ago.
        let mut nginx = (0..5).find_map(|_| Nginx::try_start(folder.path()))?;
        Some(Nginx { folder, child: nginx.0.take()?, ports: nginx.1 })
    }

    fn try_start(folder: &Path) -> Option<(Option<Child>, [u16; 2])> {
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = free.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(free);
        std::fs::write(folder.join("nginx.conf"), configuration(folder, ports)).unwrap();
        let mut command = Command::new("nginx");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin"));
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        command.arg("-e").arg(folder.join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let begin = Instant::now();
        while child.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(20) {
            if ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
                return Some((Some(child), ports));
            }
            std::thread::yield_now();
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.ports[0])
    }

    fn secure_url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.ports[1])
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.folder.path().join("www").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Path, [plain, secure]: [u16; 2]) -> String {
    let folder = folder.display();
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/server");
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
         events {{ worker_connections 256; }}
         http {{
           access_log off; default_type application/octet-stream; keepalive_requests 20;
           client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
           uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
           limit_conn_zone $server_name zone=few:1m;
           server {{
             listen 127.0.0.1:{plain}; listen 127.0.0.1:{secure} ssl; server_name localhost;
             ssl_certificate {tls}/certificate.pem; ssl_certificate_key {tls}/key.pem;
             root {folder}/www;
             location /whole/ {{ alias {folder}/www/; max_ranges 0; }}
             location /packed/ {{ alias {folder}/www/; gzip on; gzip_types *; }}
             location /few/ {{ alias {folder}/www/; limit_conn few 2; limit_rate 20m; }}
             location /away/ {{ return 302 /disk.img; }}
             location /no/ {{ return 403; }}
           }}
         }}"
    )
}

fn copy(scene: &Scene, words: &[&str]) -> crate::common::Ended {
    let mut run = scene.pcopy(["--io-size", "64KiB", "--stripe-size", "64KiB"].iter().chain(words));
    run.command.env("SSL_CERT_FILE", CA);
    run.run()
}

#[test]
fn a_server_as_they_are_is_read_from() {
    let Some(nginx) = Nginx::start() else { return };
    let (scene, bytes) = (Scene::new(), pattern(1, 5_000_001));
    nginx.write("disk.img", &bytes);
    nginx.write("empty", b"");
    let url = nginx.url("disk.img");
    copy(&scene, &["--verify", "--digest", "sha256", &url, "copy"]).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    copy(&scene, &["-r", "1_000_000..=2_000_000", &nginx.secure_url("disk.img"), "part"]).code(0);
    assert_same(&scene.read("part"), &bytes[1_000_000..2_000_001], "a part");
    copy(&scene, &[&nginx.url("empty"), "empty"]).code(0);
    assert_eq!(scene.read("empty"), b"");
    let whole = copy(&scene, &[&nginx.url("whole/disk.img"), "whole"]).code(0);
    whole.says(&["instead of the range"]);
    assert_same(&scene.read("whole"), &bytes, "one stream");
    copy(&scene, &[&nginx.url("packed/disk.img"), "packed"]).code(0);
    assert_same(&scene.read("packed"), &bytes, "not packed");
    copy(&scene, &["-v", &nginx.url("away/x"), "away"]).code(0).says(&["is redirected to"]);
    copy(&scene, &[&nginx.url("no/x"), "no"]).code(3).says(&["403"]);
    copy(&scene, &[&nginx.url("missing"), "no"]).code(3).says(&["404"]);
    scene.pcopy(["verify", &url, "copy"]).run().code(0);
    scene.write("list.csv", b"name,start,len\na,0,100\nb,4000000,1000001\nc,200,50\n");
    scene.pcopy(["batch", "--source", &url, "--into", "out", "list.csv"]).run().code(0);
    assert_same(&scene.read("out/b"), &bytes[4_000_000..], "of a list");
    assert_same(&scene.read("out/c"), &bytes[200..250], "of a list");
}

#[test]
fn a_server_that_allows_few_connections_is_asked_by_few() {
    let Some(nginx) = Nginx::start() else { return };
    let (scene, bytes) = (Scene::new(), pattern(1, 3_000_001));
    nginx.write("disk.img", &bytes);
    let words = ["--connections", "8", "--max-retries", "40", "--timeout", "5"];
    copy(&scene, &[&words[..], &[&nginx.url("few/disk.img"), "copy"]].concat()).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

#[test]
fn what_a_server_has_replaced_is_noticed_and_what_was_killed_is_resumed() {
    let Some(nginx) = Nginx::start() else { return };
    let (scene, bytes) = (Scene::new(), pattern(1, 5_000_001));
    nginx.write("disk.img", &bytes);
    let url = nginx.url("disk.img");
    let slow = ["--io-size", "64KiB", "--stripe-size", "64KiB", "--limit-rate", "1M"];
    let words = ["--checkpoint-every", "0", "--progress", "json", "--connections", "2"];
    let words = [&slow[..], &words[..], &[&url, "copy"]].concat();
    let mut running = scene.pcopy(&words).start();
    let recorded = running.wait_until_recorded(500_000);
    assert!(running.kill().was_killed());
    let report = copy(&scene, &["--resume", "--json", &url, "copy"]).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() >= Some(recorded), "{report}");
    assert_same(&scene.read("copy"), &bytes, "the copy");
    let mut running = scene.pcopy([&["--force"], &words[..]].concat()).start();
    running.wait_until_copied(500_000);
    nginx.write("new", &pattern(2, 5_000_002));
    let www = nginx.folder.path().join("www");
    std::fs::rename(www.join("new"), www.join("disk.img")).unwrap();
    running.end().code(5).says(&["its tag"]);
    assert_same(&scene.read("copy"), &bytes, "the copy from before");
}
