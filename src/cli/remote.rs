//! What servers are told, from the words of the command and from its environment:
//! headers, names and passwords, proxies, certificates.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use pcopy::address;
use pcopy::options::{Header, Login, MAX_RETRIES, Proxies, Remote, Secret};
use pcopy::pool::MOST_THREADS;

use super::args::seconds;
use super::s3::{self, S3Args};

/// What servers hand out, and how many requests are under way.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Servers")]
pub struct RemoteArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    /// Requests in flight at once [default: as many as make it faster, up to 32]
    #[arg(long, value_name = "N", value_parser = connections)]
    pub connections: Option<usize>,
}

/// What servers are told, and how long they are waited for.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Servers")]
pub struct ServerArgs {
    /// Send this header as well; repeatable. After a redirect it is not sent to another server
    #[arg(long, value_name = "NAME: VALUE", value_parser = SecretHeader)]
    pub header: Vec<Header>,

    /// How often to repeat a request that was lost or that the server could not answer
    #[arg(long, value_name = "N", default_value_t = MAX_RETRIES)]
    pub max_retries: u32,

    /// How long to wait for a server that sends nothing
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,

    #[command(flatten)]
    pub s3: S3Args,
}

/// Reads a header, and does not repeat one that cannot be: it may be a credential.
#[derive(Clone)]
struct SecretHeader;

impl TypedValueParser for SecretHeader {
    type Value = Header;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Header, clap::Error> {
        let text = value.to_str().ok_or_else(|| "must be UTF-8".to_owned());
        text.and_then(str::parse).map_err(|why| {
            let problem = format!("--header {why}\n");
            clap::Error::raw(ErrorKind::ValueValidation, problem).with_cmd(command)
        })
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MOST_THREADS).contains(&count) => Ok(count),
        _ => Err(format!("must be a number from 1 to {MOST_THREADS}")),
    }
}

/// All that was asked for, by words and by the environment.
pub fn options(args: &RemoteArgs) -> Remote {
    let mut remote = of_server(&args.server);
    remote.connections = args.connections;
    remote
}

/// The same without a number of connections.
pub fn of_server(args: &ServerArgs) -> Remote {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut remote = Remote::default();
    remote.headers.clone_from(&args.header);
    remote.max_retries = args.max_retries;
    remote.timeout = args.timeout;
    remote.ca_file = variable("SSL_CERT_FILE").map(PathBuf::from);
    let home = || Some(Path::new(&variable("HOME")?).join(".netrc"));
    let netrc = variable("NETRC").map(PathBuf::from).or_else(home);
    let netrc = netrc.and_then(|path| std::fs::read_to_string(path).ok());
    remote.logins = netrc.map(|text| logins(&text)).unwrap_or_default();
    remote.proxies = proxies(&|name| variable(name)?.into_string().ok());
    remote.s3 = s3::options(&args.s3);
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

/// A word of the command as it may be shown: an address without credentials, also
/// behind the name of an option.
pub fn shown(word: &OsStr) -> Cow<'_, Path> {
    let option = word.to_str().filter(|word| word.starts_with("--"));
    let Some((name, value)) = option.and_then(|option| option.split_once('=')) else {
        return address::shown(Path::new(word));
    };
    match address::shown(Path::new(value)) {
        Cow::Borrowed(_) => Cow::Borrowed(Path::new(word)),
        Cow::Owned(value) => Cow::Owned(format!("{name}={}", value.display()).into()),
    }
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
