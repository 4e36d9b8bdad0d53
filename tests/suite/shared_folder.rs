//! Root works in a folder that everybody may write to, while another user puts
//! links, pipes, other names of files and files under every name that a side
//! file may have. What they lead to stays as it is, and every run ends.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{Scene, assert_same, has_tools, is_root, pattern, rounds};

/// The attacker: takes names in the working directory as fast as it can, those
/// it is given and those of temporaries. The first two words are files to lead to.
const ATTACKER: &str = r##"
use POSIX qw(mkfifo);
my ($private, $open, @names) = @ARGV;
$| = 1;
print "ready\n";
while (1) {
    opendir(my $folder, ".") or die;
    for my $name (@names, grep { /\.tmp$/ } readdir $folder) {
        unlink $name if rand() < 0.5;
        my $how = int rand 6;
        symlink $private, $name if $how == 0;
        symlink "nowhere", $name if $how == 1;
        mkfifo $name, 0666 if $how == 2;
        link $open, $name if $how == 3;
        if ($how == 4 && open(my $file, ">", "mine")) {
            print $file "# Mapfile. Created by nobody\n";
            close $file;
            chmod 0666, "mine";
            rename "mine", $name;
        }
    }
}
"##;

/// Where the attack takes place. The attacker cannot see the rest of the scene.
struct Battle {
    scene: Scene,
    shared: PathBuf,
    victims: Vec<(PathBuf, u32)>,
    bytes: Vec<u8>,
}

/// What a run writes into the shared folder, with the line that does.
struct Kind {
    what: &'static str,
    line: &'static str,
    names: &'static [&'static str],
}

const KINDS: [Kind; 7] = [
    Kind { what: "part", line: "-f --restart ../src o", names: &["o.pcopy-part", "o"] },
    Kind {
        what: "map and its temporary",
        line: "-f --restart --engine positioned -t 1 --io-size 16KiB --stripe-size 16KiB \
               --limit-rate 4MiB --checkpoint-every 0 ../src o",
        names: &["o.pcopy-map", "o.pcopy-map.tmp"],
    },
    Kind {
        what: "map of a file elsewhere",
        line: "-f --restart --engine positioned -t 1 --io-size 16KiB --stripe-size 16KiB \
               --limit-rate 4MiB --checkpoint-every 0 --map m ../src ../private/o",
        names: &["m", "m.tmp"],
    },
    Kind {
        what: "report",
        line: "batch ../l.csv --source ../src --into ../private --force --report r",
        names: &["r"],
    },
    Kind {
        what: "report that is the list",
        line: "batch --retry r --source ../src --into ../private --force --report r",
        names: &["r.pcopy-part"],
    },
    Kind {
        what: "digest file",
        line: "-f --digest md5 --digest-file sums ../src ../private/o",
        names: &["sums"],
    },
    Kind {
        what: "chart",
        line: "bench --rounds 1 -t 1 --io-size 64KiB --engine positioned --svg chart ../src null:",
        names: &["chart"],
    },
];

impl Battle {
    fn new(mode: u32) -> Battle {
        let scene = Scene::new();
        let bytes = scene.source("src", 70_000);
        scene.write("l.csv", b"name,start,len\na,0,1000\nb,5000,9000\n");
        let allow = |path: &Path, mode: u32| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, mode).expect("root may");
        };
        for (name, mode) in [("shared", mode), ("private", 0o700)] {
            std::fs::create_dir(scene.path(name)).expect("a folder can be made");
            allow(&scene.path(name), mode);
        }
        allow(scene.folder(), 0o755);
        let victims = [("victim", 0o600), ("open", 0o666)].map(|(name, mode)| {
            scene.write(name, &pattern(9, 5000));
            allow(&scene.path(name), mode);
            (scene.path(name), mode)
        });
        Battle { shared: scene.path("shared"), victims: victims.into(), scene, bytes }
    }

    #[track_caller]
    fn check_victims(&self, what: &str) {
        for (path, mode) in &self.victims {
            let data = path.symlink_metadata().expect("a victim is there");
            let found = (data.mode() & 0o7777, data.uid(), data.is_file());
            assert_eq!(found, (*mode, 0, true), "{what}: {path:?}");
            assert_same(&std::fs::read(path).expect("root may"), &pattern(9, 5000), what);
        }
    }

    /// Empties the shared folder, but for what the run needs there.
    fn clear(&self) {
        for entry in std::fs::read_dir(&self.shared).expect("root may") {
            let path = entry.expect("an entry").path();
            // The attacker may have been faster, here and below.
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
    }
}

/// The other user, until it is dropped.
struct Attacker(Child);

impl Attacker {
    fn start(battle: &Battle, names: &[&str]) -> Attacker {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", ATTACKER]);
        command.args(battle.victims.iter().map(|(path, _)| path)).args(names);
        command.current_dir(&battle.shared).stdout(Stdio::piped());
        let mut child = command.spawn().expect("setpriv can be run");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("it says that it is ready");
        assert_eq!(line, "ready\n");
        Attacker(child)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_user_in_a_shared_folder_harms_nothing() {
    if !is_root() || !has_tools(&["setpriv", "perl"]) {
        return;
    }
    let rounds = rounds("PCOPY_ATTACKS", 5);
    for Kind { what, line, names } in KINDS {
        let (mut done, mut refused) = (0, 0);
        // In a sticky folder files stay their owner's; in the other one nothing does.
        for mode in [0o1777, 0o777] {
            let battle = Battle::new(mode);
            let attacker = Attacker::start(&battle, names);
            for round in 0..rounds {
                let what = format!("{what}, mode {mode:o}, round {round}");
                battle.clear();
                if line.contains("--retry") {
                    let rows = "{\"name\":\"a\",\"start\":0,\"len\":9,\"status\":\"failed\"}\n";
                    std::fs::write(battle.shared.join("r"), rows).expect("root may");
                }
                let mut run = battle.scene.pcopy(line.split_whitespace());
                run.command.current_dir(&battle.shared);
                let ended = run.run();
                match ended.status.code() {
                    Some(0) => done += 1,
                    Some(3 | 5) => refused += 1,
                    _ => panic!("{what}: {}\n{}", ended.status, ended.stderr),
                }
                battle.check_victims(&what);
                let copy = battle.scene.path("private/o");
                if ended.status.success() && line.ends_with("private/o") {
                    assert_same(&std::fs::read(copy).expect("a copy"), &battle.bytes, &what);
                }
            }
            drop(attacker);
        }
        println!(
            "measured: attacked in a shared folder, {what}: {} rounds, {done} done, {refused} \
             refused or failed, victims unchanged in all, 0 hangs",
            2 * rounds
        );
    }
}
