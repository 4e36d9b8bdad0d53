//! Lists of what is on a disk, as the programs that print them did: `recorded` holds
//! what they printed.

use super::*;
use crate::error::Fault;
use crate::manifest::ErrorKind::{Refused, Usage};

pub(super) const PARTED: &str = include_str!("recorded/parted.txt");
pub(super) const LSBLK: &str = include_str!("recorded/lsblk.json");
pub(super) const QEMU_MAP: &str = include_str!("recorded/qemu-map.json");
pub(super) const RAWPROGRAM: &str = include_str!("recorded/rawprogram0.xml");

const SIZE: u64 = 64 << 20;

/// Options of a list of a disk whose size is known.
fn of_disk() -> ReadOptions<'static> {
    ReadOptions { disk_size: Some(SIZE), ..options() }
}

/// Options of a list of what goes onto one disk.
fn onto() -> ReadOptions<'static> {
    let size_of = &|source: Option<&Path>| {
        let file = source?.file_name()?.to_str()?;
        Some(match file {
            "boot.img" => 3 << 20,
            "rootfs.img" => 5000,
            "gpt_main0.bin" | "gpt_backup0.bin" => 34 * 512,
            _ => return None,
        })
    };
    ReadOptions { own_offsets: true, size_of, ..of_disk() }
}

fn detected(list: &str) -> Option<Format> {
    Format::detect(None, list.as_bytes())
}

#[test]
fn partitions_as_parted_lists_them() {
    let want = [
        r#"{"name":"001-EFI_System.img","start":1048576,"len":4194304}"#,
        r#"{"name":"002-root_a_b.img","start":5242880,"len":10485760}"#,
        r#"{"name":"003.img","start":20971520,"len":2097152}"#,
    ];
    let sectors = include_str!("recorded/parted-sectors.txt");
    let free = include_str!("recorded/parted-free.txt");
    for list in [PARTED, sectors, free] {
        assert_eq!(detected(list), Some(Format::Parted));
        reads(Format::Parted, list, &want);
    }
    let notes = read(free.as_bytes(), None, &options()).expect("it reads").notes;
    assert_eq!(notes, ["3 skipped: free space"]);
    let inside = [
        r#"{"name":"001.img","start":1048576,"len":4194304}"#,
        r#"{"name":"005.img","start":6291456,"len":10485760}"#,
    ];
    reads(Format::Parted, include_str!("recorded/parted-dos.txt"), &inside);
    let based = ReadOptions { base: 512, ..options() };
    let third = "BYT;\n/dev/sda:9000B:file:512:512:gpt::;\n1:512B:1023B:512B:::;\n";
    reads_with(&based, Format::Parted, third, &[r#"{"name":"001.img","start":1024,"len":512}"#]);
    let rounded = "line 2: parted: its numbers are rounded: list it with `parted -sm DEVICE unit \
                   B print`";
    fails(Format::Parted, include_str!("recorded/parted-rounded.txt"), Usage, rounded);
    let odd = "BYT;\n/dev/sda:9000B:file:512:512:gpt::;\nx:512B:1023B:512B:::;\n";
    fails(Format::Parted, odd, Usage, "line 3: parted: \"x\" is not a number of a partition");
    let first = "BYT;\n1:512B:1023B:512B:::;\n";
    let none = "line 2: parted: its sectors have no size";
    fails(Format::Parted, first, Usage, none);
    let far = "BYT;\n/dev/sda:9000B:file:512:512:gpt::;\n1:18446744073709551615B:1B:2B:::;\n";
    fails(Format::Parted, far, Usage, "line 3: parted: a partition ends past what 64 bits count");
}

#[test]
fn partitions_as_lsblk_lists_them() {
    assert_eq!(detected(LSBLK), Some(Format::Lsblk));
    let want = [
        r#"{"name":"001.img","start":1048576,"len":4194304}"#,
        r#"{"name":"002.img","start":5242880,"len":10485760}"#,
        r#"{"name":"003.img","start":20971520,"len":2097152}"#,
    ];
    // Its unit is none of the sectors of the disk.
    let sectors = ReadOptions { sector_of: &|_| Some(4096), ..options() };
    reads_with(&sectors, Format::Lsblk, LSBLK, &want);
    // As older versions write numbers.
    reads(
        Format::Lsblk,
        LSBLK.replace("4194304", "\"4194304\"").replace("2048,", "\"2048\","),
        &want,
    );
    let rounded = "line 1: lsblk: sizes are rounded: list it with `lsblk -b`";
    fails(Format::Lsblk, include_str!("recorded/lsblk-rounded.json"), Usage, rounded);
    let no_start = "line 1: lsblk: it has no START: list it with `lsblk -bJ -o NAME,START,SIZE \
                    DEVICE`";
    fails(Format::Lsblk, include_str!("recorded/lsblk-without-start.json"), Usage, no_start);
    let one = r#"{"name":"a","start":null,"size":9,"children":[{"name":"a1","start":1,"size":5}]}"#;
    let two = format!("{{\"blockdevices\":[{one},{one}]}}");
    fails(Format::Lsblk, two, Usage, "line 1: lsblk: it lists several disks: name one of them");
    let deep = "{\"blockdevices\":[".to_owned() + &r#"{"children":["#.repeat(10_000);
    assert!(read(deep.as_bytes(), None, &options()).is_err());
}

#[test]
fn a_disk_in_a_container_as_qemu_maps_it() {
    assert_eq!(detected(QEMU_MAP), Some(Format::QemuMap));
    let named = ReadOptions { name: Some(Path::new("disk")), ..options() };
    let want = [
        r#"{"name":"disk","runs":[{"hole":true,"len":196608}],"file_len":3145728}"#,
        r#"{"name":"disk","start":327680,"len":131072,"dest_offset":196608,"file_len":3145728}"#,
        r#"{"name":"disk","runs":[{"hole":true,"len":983040}],"dest_offset":327680,"file_len":3145728}"#,
        r#"{"name":"disk","start":458752,"len":327680,"dest_offset":1310720,"file_len":3145728}"#,
        r#"{"name":"disk","runs":[{"hole":true,"len":1507328}],"dest_offset":1638400,"file_len":3145728}"#,
    ];
    reads_with(&named, Format::QemuMap, QEMU_MAP, &want);
    assert!(read(QEMU_MAP.as_bytes(), None, &named).expect("it reads").takes_container);
    let compressed = include_str!("recorded/qemu-map-compressed.json");
    fails_with(
        &named,
        Format::QemuMap,
        compressed,
        Refused,
        "line 1: \"disk\": bytes are compressed",
    );
    let based = include_str!("recorded/qemu-map-based.json");
    let why = "bytes are in the file that the image is based on";
    let errors = format!("line 3: \"disk\": {why}\nline 5: \"disk\": {why}");
    fails_with(&named, Format::QemuMap, based, Refused, &errors);
    let far = QEMU_MAP.replace("\"start\": 1638400", "\"start\": 18446744073709551615");
    let past = "line 5: qemu-img map: an extent ends past what 64 bits count";
    fails_with(&named, Format::QemuMap, far, Usage, past);
}

#[test]
fn labels_of_a_disk_as_flashing_tools_have_them() {
    assert_eq!(detected(RAWPROGRAM), Some(Format::Rawprogram));
    // The first starts where the disk of the recorded list ends.
    let disk = ReadOptions { disk_size: Some(2 * SIZE), ..options() };
    let want = [
        r#"{"name":"001-boot.img","start":67108864,"len":1048576}"#,
        r#"{"name":"002-config.img","start":68157440,"len":65536}"#,
        r#"{"name":"003-rootfs.img","start":68222976,"len":65994752}"#,
        r#"{"name":"004-PrimaryGPT.img","start":0,"len":17408}"#,
        r#"{"name":"005-BackupGPT.img","start":134200832,"len":16896}"#,
    ];
    reads_with(&disk, Format::Rawprogram, RAWPROGRAM, &want);
    let errors = read(RAWPROGRAM.as_bytes(), None, &options()).expect_err("no size");
    assert!(errors.faults().contains(&Fault::Unmappable), "{errors}");
    let several = RAWPROGRAM.replacen("partition_number=\"0\"", "partition_number=\"4\"", 1);
    let errors = "line 6: rawprogram: its rows are of several disks (physical_partition_number): \
                  make a list of each";
    fails_with(&disk, Format::Rawprogram, several, Usage, errors);
    let no_number = RAWPROGRAM.replace("start_sector=\"133120\"", "start_sector=\"x\"");
    let errors = "line 6: rawprogram: start_sector is missing or no number";
    fails_with(&disk, Format::Rawprogram, no_number, Usage, errors);
}

#[test]
fn files_that_go_onto_a_disk() {
    let manifest = Some(Path::new("images/rawprogram0.xml"));
    let onto = ReadOptions { manifest, disk_size: Some(2 * SIZE), ..onto() };
    let want = [
        r#"{"name":"-","source":"images/boot.img","start":0,"len":1048576,"dest_offset":67108864}"#,
        r#"{"name":"-","source":"images/rootfs.img","start":0,"len":5000,"dest_offset":68222976}"#,
        r#"{"name":"-","source":"images/gpt_main0.bin","start":0,"len":17408}"#,
        r#"{"name":"-","source":"images/gpt_backup0.bin","start":0,"len":16896,"dest_offset":134200832}"#,
    ];
    let list = RAWPROGRAM.replace('\\', "/");
    let items = read(list.as_bytes(), None, &onto).expect("it reads");
    let lines: Vec<String> = items
        .items
        .iter()
        .map(|item| serde_json::to_string(item).expect("JSON").replace("\\\\", "/"))
        .collect();
    assert_eq!(lines, want);
    let notes = ["2 files are longer than their partitions, and are cut".to_owned()];
    assert_eq!(items.notes[..1], notes);
    assert_eq!(items.notes[1], "1 skipped: a partition without a file");
    let gone = RAWPROGRAM.replace("rootfs.img", "none.img");
    let errors = read(gone.as_bytes(), None, &onto).expect_err("it is not there");
    assert!(errors.to_string().starts_with("line 7: "), "{errors}");
    let packed = RAWPROGRAM.replacen("sparse=\"false\"", "sparse=\"true\"", 1);
    let errors = read(packed.as_bytes(), None, &onto).expect_err("it is packed");
    assert!(errors.to_string().contains("simg2img"), "{errors}");
}

/// What says only where something is has the same place in the destination.
#[test]
fn what_names_no_offset_keeps_its_own() {
    let want =
        r#"{"name":"001-EFI_System.img","start":1048576,"len":4194304,"dest_offset":1048576}"#;
    let found = read(PARTED.as_bytes(), None, &onto()).expect("it reads");
    assert_eq!(serde_json::to_string(&found.items[0]).expect("JSON"), want);
    let rows = "start,len,dest_offset\n5,10,\n50,10,0\n";
    let want = [
        r#"{"name":"-","start":5,"len":10,"dest_offset":5}"#,
        r#"{"name":"-","start":50,"len":10}"#,
    ];
    reads_with(&onto(), Format::Csv, rows, &want);
    fails(Format::Csv, rows, Usage, "line 1: the header has no column `name`");
    let pieces = r#"{"runs":[{"start":5,"len":10},{"hole":true,"len":3},{"start":50,"len":10}]}"#;
    let want = [
        r#"{"name":"-","start":5,"len":10,"dest_offset":5}"#,
        r#"{"name":"-","start":50,"len":10,"dest_offset":50}"#,
    ];
    reads_with(&onto(), Format::Jsonl, pieces, &want);
}
