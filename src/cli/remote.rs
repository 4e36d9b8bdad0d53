//! What servers are told, from the words of the command and from its environment:
//! headers, names and passwords, proxies, certificates.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pcopy::options::{Header, Login, MAX_RETRIES, Proxies, Remote, Secret};
use pcopy::pool::MOST_THREADS;

use super::args::seconds;

/// Ends that a server hands out.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Servers")]
pub struct RemoteArgs {
    /// Say this to the server, too; repeatable. Not said to another server that it redirects to
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<Header>,

    /// Requests under way at once [default: as many as bring more, up to 32]
    #[arg(long, value_name = "N", value_parser = connections)]
    pub connections: Option<usize>,

    /// Repetitions of a request that failed on its way, or that the server could not answer
    #[arg(long, value_name = "N", default_value_t = MAX_RETRIES)]
    pub max_retries: u32,

    /// How long a server may say nothing
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MOST_THREADS).contains(&count) => Ok(count),
        _ => Err(format!("must be a number from 1 to {MOST_THREADS}")),
    }
}

/// All that was asked for, by words and by the environment.
pub fn options(args: &RemoteArgs) -> Remote {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut remote = Remote::default();
    remote.headers.clone_from(&args.header);
    remote.connections = args.connections;
    remote.max_retries = args.max_retries;
    remote.timeout = args.timeout;
    remote.ca_file = variable("SSL_CERT_FILE").map(PathBuf::from);
    let home = || Some(Path::new(&variable("HOME")?).join(".netrc"));
    let netrc = variable("NETRC").map(PathBuf::from).or_else(home);
    let netrc = netrc.and_then(|path| std::fs::read_to_string(path).ok());
    remote.logins = netrc.map(|text| logins(&text)).unwrap_or_default();
    remote.proxies = proxies(&|name| variable(name)?.into_string().ok());
    remote
}

/// Proxies, as curl finds them: `HTTP_PROXY` in capital letters could be set by
/// a client of a web server, and is not looked at. Windows knows both names as one.
fn proxies(variable: &dyn Fn(&str) -> Option<String>) -> Proxies {
    let either = |names: &[&str]| names.iter().find_map(|name| variable(name));
    let every = || either(&["all_proxy", "ALL_PROXY"]);
    Proxies {
        http: variable("http_proxy").or_else(every).map(Secret::new),
        https: either(&["https_proxy", "HTTPS_PROXY"]).or_else(every).map(Secret::new),
        except: either(&["no_proxy", "NO_PROXY"]),
    }
}

/// What stands in a file as ftp(1) reads it: words, of which `machine` begins
/// the entry of a server, and `default` that of all others. What is said of a
/// macro ends at an empty line.
fn logins(text: &str) -> Vec<Login> {
    let mut found = Vec::new();
    let mut current: Option<Login> = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_default().trim_matches('"').to_owned();
            let entry = |host| Login { host, user: String::new(), password: Secret::default() };
            match word {
                "machine" => found.extend(current.replace(entry(Some(value())))),
                "default" => found.extend(current.replace(entry(None))),
                "login" => current.iter_mut().for_each(|login| login.user = value()),
                "password" => {
                    current.iter_mut().for_each(|login| login.password = Secret::new(value()));
                }
                "account" => drop(value()),
                "macdef" => {
                    lines.by_ref().take_while(|line| !line.trim().is_empty()).for_each(drop);
                    break;
                }
                _ => {}
            }
        }
    }
    found.extend(current);
    found
}

/// Options whose values are credentials: they are in no command that is shown.
pub const SECRET_OPTIONS: &[&str] = &["--header"];

/// A word of the command as it may be shown: an address without credentials.
pub fn shown(word: &OsStr) -> std::borrow::Cow<'_, Path> {
    pcopy::address::shown(Path::new(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_found_by_server() {
        let text = "# mine\nmachine a.example login me password \"se cret\"\n\
                    machine b.example\n  login you\n  password word\nmacdef init\n\
                    machine c.example\n\ndefault login anonymous password x\n";
        let found: Vec<_> = logins(text)
            .iter()
            .map(|one| (one.host.clone(), one.user.clone(), one.password.reveal().to_owned()))
            .collect();
        let entry = |host: Option<&str>, user: &str, password: &str| {
            (host.map(str::to_owned), user.to_owned(), password.to_owned())
        };
        assert_eq!(
            found,
            [
                entry(Some("a.example"), "me", "se"),
                entry(Some("b.example"), "you", "word"),
                entry(None, "anonymous", "x"),
            ]
        );
        assert_eq!(logins("login nobody password x"), []);
        assert_eq!(logins("machine"), logins("machine \n"));
    }

    #[test]
    fn proxies_are_those_of_the_scheme() {
        let check = |set: &[(&str, &str)], http: Option<&str>, https: Option<&str>| {
            let variable = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            let found = proxies(&variable);
            assert_eq!(found.http.as_ref().map(Secret::reveal), http, "{set:?}");
            assert_eq!(found.https.as_ref().map(Secret::reveal), https, "{set:?}");
        };
        check(&[("http_proxy", "a"), ("HTTPS_PROXY", "b")], Some("a"), Some("b"));
        check(&[("HTTP_PROXY", "a")], None, None);
        check(&[("ALL_PROXY", "c"), ("https_proxy", "b")], Some("c"), Some("b"));
    }
}
