//! The choice of an engine from capabilities alone.

use crate::engine::capabilities::{Capabilities, End, Reflink};
use crate::engine::{EngineChoice, select};
use crate::error::Remedy;
use crate::io::page_cache::CacheState;
use crate::sys::{DirectAlignment, FileSystem, FileSystemKind};
use crate::words::Word;

fn file_on(kind: FileSystemKind) -> End {
    let direct = Some(DirectAlignment { memory: 512, offset: 512 });
    End { file_system: Some(FileSystem { kind, block: 4096, id: None }), direct, ..End::default() }
}

fn device() -> End {
    let direct = Some(DirectAlignment { memory: 512, offset: 512 });
    End { device: true, direct, ..End::default() }
}

/// A gigabyte, cold, from one new file to another on ext4.
fn usual() -> Capabilities {
    Capabilities {
        source: file_on(FileSystemKind::Ext),
        destination: file_on(FileSystemKind::Ext),
        same_file_system: true,
        congruent: true,
        kernel_moves: true,
        bytes: 1 << 30,
        fresh: true,
        cache_state: CacheState::Cold,
        memory: Some(16 << 30),
        threads: 2,
        ..Capabilities::default()
    }
}

/// While copying, another engine is tried only where it could be better and does the same.
#[test]
fn an_engine_may_be_replaced_by_one_that_proves_better() {
    let check = |choice, expected: Option<&str>, change: &dyn Fn(&mut Capabilities)| {
        let mut capabilities = usual();
        change(&mut capabilities);
        let selection = select(choice, capabilities).unwrap();
        assert_eq!(selection.other(), expected, "{}", selection.name());
    };
    let auto = EngineChoice::Auto;
    let from_network = |c: &mut Capabilities| {
        (c.source, c.same_file_system) = (file_on(FileSystemKind::Fuse), false);
    };
    check(auto, Some("positioned"), &|_| {});
    check(auto, Some("positioned"), &|c| (c.source, c.same_file_system) = (device(), false));
    check(auto, Some("direct"), &from_network);
    check(auto, None, &|c| {
        from_network(c);
        c.source.direct = None;
    });
    check(auto, None, &|c| {
        from_network(c);
        c.cache_state = CacheState::Warm;
    });
    check(auto, None, &|c| {
        from_network(c);
        c.source.rotational = Some(true);
    });
    check(auto, None, &|c| {
        from_network(c);
        c.only_changed = true;
    });
    check(auto, None, &|c| {
        from_network(c);
        c.bytes = 1 << 20;
    });
    // What is asked for stays, and what is shared is not written again.
    check(EngineChoice::Positioned, None, &from_network);
    check(EngineChoice::Offload, None, &|_| {});
    check(auto, None, &|c| {
        (c.source, c.destination) =
            (file_on(FileSystemKind::Btrfs), file_on(FileSystemKind::Btrfs));
    });
}

/// On tmpfs, reserving storage means filling it with zeros.
#[test]
fn storage_is_reserved_only_for_what_is_written_past_the_page_cache() {
    let check = |expected: bool, destination: End| {
        let (source, same_file_system) = (device(), false);
        let about = Capabilities { source, destination, same_file_system, ..usual() };
        let selection = select(EngineChoice::Direct, about).unwrap();
        assert_eq!(selection.wants_space(), expected);
    };
    check(true, file_on(FileSystemKind::Ext));
    check(false, End { direct: None, ..file_on(FileSystemKind::Tmpfs) });
}

#[test]
fn the_engine_follows_from_what_the_copy_offers() {
    let check = |expected: &str, change: &dyn Fn(&mut Capabilities)| {
        let mut capabilities = usual();
        change(&mut capabilities);
        let selection = select(EngineChoice::Auto, capabilities).unwrap();
        assert_eq!(selection.name(), expected, "{}", selection.reason);
        assert!(!selection.reason.is_empty());
    };
    let tmpfs = End { direct: None, ..file_on(FileSystemKind::Tmpfs) };
    let spinning = End { rotational: Some(true), ..device() };
    check("offload", &|_| {});
    check("direct", &|c| c.bytes = 10 << 30);
    check("direct", &|c| (c.source, c.same_file_system) = (device(), false));
    check("direct", &|c| (c.needs_bytes, c.bytes) = (true, 10 << 30));
    check("positioned", &|c| c.needs_bytes = true);
    check("positioned", &|c| c.same_file_system = false);
    check("positioned", &|c| {
        (c.source, c.same_file_system, c.cache_state) = (device(), false, CacheState::Warm);
    });
    check("positioned", &|c| c.cache_state = CacheState::Warm);
    check("offload", &|c| (c.cache_state, c.threads) = (CacheState::Warm, 1));
    check("offload", &|c| {
        // What a server can copy by itself need not travel.
        c.destination = file_on(FileSystemKind::Fuse);
        c.cache_state = CacheState::Warm;
    });
    check("offload", &|c| c.threads = 1);
    check("positioned", &|c| (c.needs_bytes, c.cache_state) = (true, CacheState::Warm));
    check("positioned", &|c| c.bytes = 1 << 20);
    check("positioned", &|c| (c.source, c.same_file_system) = (spinning, false));
    check("positioned", &|c| (c.destination, c.same_file_system) = (tmpfs, false));
    for kind in [FileSystemKind::Xfs, FileSystemKind::Btrfs, FileSystemKind::Other] {
        let share = move |c: &mut Capabilities| {
            (c.source, c.destination) = (file_on(kind), file_on(kind));
        };
        check("offload", &share);
        check("offload", &|c| {
            share(c);
            c.bytes = 1;
        });
        check("positioned", &|c| {
            share(c);
            c.reflink = Reflink::Never;
        });
        check("offload", &|c| {
            share(c);
            (c.needs_bytes, c.only_looks) = (true, true);
        });
        check("positioned", &|c| {
            share(c);
            (c.needs_bytes, c.only_looks, c.congruent) = (true, true, false);
        });
        check("positioned", &|c| {
            share(c);
            c.keep_no_holes = true;
        });
    }
}

#[test]
fn what_cannot_serve_is_refused_with_a_reason() {
    let check = |choice: &str, change: &dyn Fn(&mut Capabilities), words: &str| {
        let mut capabilities = usual();
        change(&mut capabilities);
        let refusal = select(choice.parse().unwrap(), capabilities).err().expect("refused");
        assert!(refusal.to_string().contains(words), "{refusal}");
    };
    let nothing = End::default();
    let tmpfs = End { direct: None, ..file_on(FileSystemKind::Tmpfs) };
    check("mmap", &|c| c.fresh = false, "only a new file");
    check("mmap", &|c| c.destination = device(), "only a new file");
    check("mmap", &|c| c.destination = file_on(FileSystemKind::Btrfs), "run out of space");
    check("mmap", &|c| c.needs_bytes = true, "looked at");
    check("offload", &|c| c.source = device(), "from file to file");
    check("offload", &|c| c.needs_bytes = true, "looked at");
    check("splice", &|c| c.needs_bytes = true, "looked at");
    check("splice", &|c| c.destination = nothing, "open files");
    check("direct", &|c| (c.source, c.destination) = (tmpfs, tmpfs), "neither side");
    check("positioned", &|c| c.reflink = Reflink::Always, "cannot share");
    check("auto", &|c| (c.reflink, c.needs_bytes) = (Reflink::Always, true), "looked at");
    assert!(
        "uring"
            .parse::<EngineChoice>()
            .unwrap_err()
            .to_string()
            .contains("auto, positioned, direct")
    );
}

#[test]
fn what_stands_in_the_way_of_sharing_is_said_as_data() {
    let check = |change: &dyn Fn(&mut Capabilities), remedy: Remedy| {
        let mut capabilities = usual();
        capabilities.destination = file_on(FileSystemKind::Btrfs);
        change(&mut capabilities);
        let refusal = select(EngineChoice::Offload, capabilities).err().expect("refused");
        assert_eq!(refusal.remedies(), [remedy], "{refusal}");
    };
    check(&|c| c.reflink = Reflink::Never, Remedy::NotReflinkNever);
    check(&|c| c.keep_no_holes = true, Remedy::NotSparseNever);
    let mut always = usual();
    always.reflink = Reflink::Always;
    let refusal = select(EngineChoice::Positioned, always).err().expect("refused");
    assert_eq!(refusal.remedies(), [Remedy::NotReflinkAlways]);
}

/// The words of the choice and the rows of the table are two lists.
#[test]
fn every_engine_can_be_chosen_by_its_name_and_nothing_else_can() {
    let chosen =
        EngineChoice::ALL.iter().map(|choice| choice.word()).filter(|&word| word != "auto");
    assert!(chosen.eq(crate::engine::TABLE.iter().map(|row| row.name)));
}
