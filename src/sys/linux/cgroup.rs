//! The memory that the control groups of this process leave it, of version 1
//! and of version 2: who takes more is killed, without an error of any call.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::text_of;

/// Where the hierarchy of memory is mounted, and the file that has the limit.
const VERSION_1: (&str, &str) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes");
const VERSION_2: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/unified", "memory.max")];

/// Bytes of memory that this process may have, if its control groups limit that.
/// They are asked once: a copy of a small file takes less time than a second look.
pub fn memory_limit() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let groups = text_of(Path::new("/proc/self/cgroup"))?;
        let limit = |file: &Path| parse(&text_of(file)?);
        lowest(&groups, &limit)
    })
}

/// The lowest limit that `limit` knows of the groups in `groups`, a file
/// `/proc/PID/cgroup`, and of those that they are in.
fn lowest(groups: &str, limit: &dyn Fn(&Path) -> Option<u64>) -> Option<u64> {
    let of_line = |line: &str| -> Vec<PathBuf> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            return Vec::new();
        };
        if controllers.is_empty() {
            VERSION_2.iter().flat_map(|&at| files(at, path)).collect()
        } else if controllers.split(',').any(|name| name == "memory") {
            files(VERSION_1, path)
        } else {
            Vec::new()
        }
    };
    groups.lines().flat_map(of_line).filter_map(|file| limit(&file)).min()
}

/// The files with the limits of the group `path` and of all above it. Within a
/// container the path may be that of outside: then only the last is there.
fn files((mounted, name): (&str, &str), path: &str) -> Vec<PathBuf> {
    let group = Path::new(path.trim_start_matches('/'));
    group.ancestors().map(|group| Path::new(mounted).join(group).join(name)).collect()
}

/// A limit in bytes; `None` if there is none: version 2 says so, version 1 has
/// the largest number of pages.
fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&limit| limit < 1 << 62)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let check = |groups: &str, files: &[(&str, &str)], expected: Option<u64>| {
            let limit = |file: &Path| {
                let found = files.iter().find(|(name, _)| Path::new(name) == file);
                parse(found?.1)
            };
            assert_eq!(lowest(groups, &limit), expected, "{groups}");
        };
        let one = "8:pids:/a\n4:memory:/a/b\n0::/\n";
        let none = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        check(one, &[none], None);
        let high = ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "1000\n");
        let low = ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "600\n");
        check(one, &[none, high], Some(1000));
        check(one, &[none, high, low], Some(600));
        let two = "0::/user.slice/x.scope\n";
        check(two, &[("/sys/fs/cgroup/user.slice/x.scope/memory.max", "max\n")], None);
        check(two, &[("/sys/fs/cgroup/user.slice/memory.max", "5000\n")], Some(5000));
        check("0::/\n", &[("/sys/fs/cgroup/memory.max", "77\n")], Some(77));
        check("0::/\n", &[("/sys/fs/cgroup/unified/memory.max", "78\n")], Some(78));
        check(
            "4:cpu,memory:/docker/1\n",
            &[("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9")],
            Some(9),
        );
        check("nonsense\n:\n", &[], None);
    }
}
