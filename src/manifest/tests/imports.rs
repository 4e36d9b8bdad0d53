//! What other tools print: texts of the real tools, shortened, and what is
//! wrong with them when it is.

use super::*;
use crate::digest::{Algorithm, hash_slice};
use crate::manifest::AreaStatuses;
use crate::manifest::ErrorKind::{Refused, Usage};

pub(super) const FIWALK: &str = r#"<?xml version='1.0' encoding='UTF-8'?>
<dfxml xmlns='http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML' version='1.0'>
  <creator version='1.0'><program>fiwalk</program><version>4.11.1</version></creator>
  <source><image_filename>ext4.img</image_filename></source>
<!-- fs start: 0 -->
  <volume offset='0'>
    <ftype_str>ext4</ftype_str>
    <fileobject>
      <filename>.</filename>
      <name_type>d</name_type>
      <filesize>1024</filesize>
      <alloc>1</alloc>
      <meta_type>2</meta_type>
      <byte_runs><byte_run file_offset='0' img_offset='2369536' len='1024'/></byte_runs>
    </fileobject>
    <fileobject>
      <parent_object><inode>2</inode><filename>not me</filename></parent_object>
      <filename>sub/amp&amp;&#x41;\xFF\x5C</filename>
      <name_type>r</name_type>
      <filesize>1053576</filesize>
      <alloc>1</alloc>
      <meta_type>1</meta_type>
      <mode>2541</mode>
      <mtime>2026-11-20T12:56:24Z</mtime>
      <byte_runs>
       <byte_run file_offset='0' fs_offset='5390336' img_offset='5390336' len='8192'><hashdigest type='md5'>sector</hashdigest></byte_run>
       <byte_run file_offset='8192' fill='0' len='1040384'/>
       <byte_run file_offset='1048576' fs_offset='5398528' img_offset='5398528' len='8192'/>
      </byte_runs>
      <hashdigest type='MD5'>0B513921F0DC1E00F1D3BFEEEB625ED5</hashdigest>
      <hashdigest type='ssdeep'>3:abc</hashdigest>
    </fileobject>
    <fileobject>
      <filename>empty</filename>
      <name_type>r</name_type>
      <filesize>0</filesize>
      <alloc>1</alloc>
    </fileobject>
    <fileobject>
      <filename>gone</filename>
      <name_type>r</name_type>
      <filesize>5</filesize>
      <unalloc>1</unalloc>
      <byte_runs><byte_run file_offset='0' img_offset='5403648' len='5'/></byte_runs>
    </fileobject>
  </volume>
</dfxml>
"#;

#[test]
fn dfxml_of_fiwalk() {
    if crate::sys::path_from_bytes(b"A\xFF").is_none() {
        // One of its names cannot be that of a file here.
        let errors = read(FIWALK.as_bytes(), None, &options()).expect_err("no such name");
        assert!(errors.to_string().contains("not UTF-8"), "{errors}");
        return;
    }
    let want = [
        "{\"name_hex\":\"7375622f616d702641ff5c\",\"runs\":[{\"start\":5390336,\"len\":8192},\
         {\"hole\":true,\"len\":1040384},{\"start\":5398528,\"len\":5000}],\
         \"md5\":\"0b513921f0dc1e00f1d3bfeeeb625ed5\",\"mode\":\"0755\",\"mtime\":\"1795179384\"}",
        r#"{"name":"empty","start":0,"len":0}"#,
    ];
    reads(Format::Dfxml, FIWALK, &want);
    let manifest = read(FIWALK.as_bytes(), None, &options()).expect("fiwalk's own");
    let cut = "1 mode: only the permission bits (0777) are set";
    assert_eq!(manifest.notes, [cut, "1 skipped: deleted file", "1 skipped: directory"]);
    let lines: Vec<u64> = manifest.items.iter().map(|item| item.line).collect();
    assert_eq!(lines, [16, 33]);
    let based = ReadOptions { base: 1 << 20, ..options() };
    let based = read(FIWALK.as_bytes(), None, &based).expect("fiwalk's own");
    assert!(serde_json::to_string(&based.items[0]).expect("JSON").contains("\"start\":6438912,"));
}

/// A `fileobject` of a file of 10 bytes.
fn object(inside: &str) -> String {
    format!(
        "<dfxml>\n<fileobject>\n<filename>f</filename><name_type>r</name_type><filesize>10</filesize>{inside}\n</fileobject>\n</dfxml>"
    )
}

#[test]
fn dfxml_files_without_a_place_of_their_own_are_refused_by_name() {
    for (runs, why) in [
        (
            "<byte_run file_offset='0' img_offset='0' len='10' type='resident'/>",
            "resident in the file table",
        ),
        ("<byte_run file_offset='0' img_offset='512' uncompressed_len='10'/>", "compressed"),
        ("<byte_run file_offset='0' len='10'/>", "a byte run without img_offset"),
        (
            "<byte_run file_offset='0' fill='255' len='10'/>",
            "filled with something other than zeros",
        ),
        (
            "<byte_run file_offset='0' img_offset='512' len='9'/>",
            "its byte runs cover less than its size",
        ),
        (
            "<byte_run file_offset='1' img_offset='512' len='9'/>",
            "its byte runs leave gaps or overlap",
        ),
        (
            "<byte_run file_offset='0' img_offset='512' len='9'/><byte_run file_offset='8' img_offset='600' len='9'/>",
            "its byte runs leave gaps or overlap",
        ),
        ("", "no byte runs"),
    ] {
        let input = object(&format!("<byte_runs>{runs}</byte_runs>"));
        fails(Format::Dfxml, &input, Refused, &format!("line 2: \"f\": {why}"));
        let lenient = ReadOptions { skip_unmappable: true, ..options() };
        let manifest = read(input.as_bytes(), None, &lenient).expect("left out");
        assert_eq!(
            (manifest.items.len(), &manifest.notes[..]),
            (0, &[format!("1 skipped: {why}")][..])
        );
    }
    let run = "<byte_runs><byte_run file_offset='0' img_offset='18446744073709551615' len='10'/></byte_runs>";
    fails(
        Format::Dfxml,
        object(run),
        Usage,
        "line 2: \"f\": a byte run ends past what 64 bits count",
    );
    let runs = "<byte_runs><byte_run file_offset='6' img_offset='0' len='9'/><byte_run file_offset='0' img_offset='512' len='6'/></byte_runs>";
    reads(
        Format::Dfxml,
        object(runs),
        &[r#"{"name":"f","runs":[{"start":512,"len":6},{"start":0,"len":4}]}"#],
    );
}

#[test]
fn dfxml_that_is_cut_off_or_not_dfxml() {
    let half = &FIWALK[..FIWALK.len() / 2];
    let errors = read(half.as_bytes(), None, &options()).expect_err("half a file");
    assert!(errors.to_string().contains("the file ends inside <"), "{errors}");
    fails(Format::Dfxml, "<html></html>", Usage, "line 1: DFXML: the root is <html>, not <dfxml>");
    fails(Format::Dfxml, "", Usage, "line 1: DFXML: there is no element");
    let bomb = "<!DOCTYPE d [<!ENTITY a \"aaaa\">]><dfxml>&a;</dfxml>";
    fails(Format::Dfxml, bomb, Usage, "line 1: DFXML: &a; is not known");
}

#[test]
fn dfxml_of_several_volumes_keeps_them_apart() {
    let volume = |kind: &str| {
        format!(
            "<volume offset='0'><ftype_str>{kind}</ftype_str><fileobject><filename>f</filename><mode>511</mode><filesize>0</filesize></fileobject></volume>"
        )
    };
    let one = format!("<dfxml><volume/>{}</dfxml>", volume("fat16"));
    reads(Format::Dfxml, one, &[r#"{"name":"f","start":0,"len":0}"#]);
    let two = format!("<dfxml>{}{}</dfxml>", volume("ext4"), volume("ntfs"));
    reads(
        Format::Dfxml,
        two,
        &[
            r#"{"name":"part1/f","start":0,"len":0,"mode":"0777"}"#,
            r#"{"name":"part2/f","start":0,"len":0}"#,
        ],
    );
}

pub(super) const FILEFRAG: &str = "Filesystem type is: ef53
File size of ./tree/a b is 12: is 10 (1 block) is 1053576 (258 blocks of 4096 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..       1:    3516928..   3516929:      2:            
   1:        2..       3:    3516930..   3516931:      2:             unwritten
   2:      256..     259:    3517184..   3517187:      4:    3516932: last,eof
./tree/a b is 12: is 10 (1 block): 2 extents found
File size of empty is 0 (0 blocks of 4096 bytes)
empty: 0 extents found
File size of hole is 1048576 (256 blocks of 4096 bytes)
hole: 0 extents found
";

#[test]
fn filefrag_with_holes_and_gaps() {
    reads(
        Format::Filefrag,
        FILEFRAG,
        &[
            "{\"name\":\"tree/a b is 12: is 10 (1 block)\",\"runs\":[{\"start\":14405337088,\"len\":8192},\
             {\"hole\":true,\"len\":1040384},{\"start\":14406385664,\"len\":5000}]}",
            r#"{"name":"empty","start":0,"len":0}"#,
            r#"{"name":"hole","runs":[{"hole":true,"len":1048576}]}"#,
        ],
    );
    let mounted = FILEFRAG.replace("./tree", "/mnt/tree");
    let below = ReadOptions { strip_prefix: Some(Path::new("/mnt")), base: 512, ..options() };
    let items = read(mounted.as_bytes(), None, &below).expect("the same").items;
    assert_eq!(items[0].name.to_str(), Some("tree/a b is 12: is 10 (1 block)"));
    assert!(serde_json::to_string(&items[0]).expect("JSON").contains("{\"start\":14405337600,"));
}

/// The output for one file `f` of 8192 bytes.
fn extents(lines: &str) -> String {
    format!(
        "Filesystem type is: ef53\nFile size of f is 8192 (2 blocks of 4096 bytes)\n ext: logical_offset: physical_offset: length: expected: flags:\n{lines}f: 1 extent found\n"
    )
}

#[test]
fn filefrag_extents_without_a_place_are_refused_by_name() {
    for (flags, why) in [
        (
            "last,unknown_loc,delalloc,eof",
            "not written to its place yet (delalloc): sync and list again",
        ),
        ("last,not_aligned,inline,eof", "stored in the inode (inline): copy the file itself"),
        ("encoded", "compressed or encrypted (encoded): copy the file itself"),
        ("encoded,encrypted", "encrypted: copy the file itself"),
        ("tail_packed", "stored beside the end of another file: copy the file itself"),
        ("0x00100000", "an extent is 0x00100000: copy the file itself"),
    ] {
        let input = extents(&format!("   0:   0..   1:   0..   0:   0:   {flags}\n"));
        fails(Format::Filefrag, input, Refused, &format!("line 2: \"f\": {why}"));
    }
    let btrfs =
        extents("   0:   0..   1:   7..   8:   2:   last,eof\n").replace("ef53", "9123683e");
    fails(
        Format::Filefrag,
        btrfs,
        Refused,
        "line 2: \"f\": addresses of btrfs are not those of a device",
    );
}

#[test]
fn filefrag_output_that_is_damaged_is_refused() {
    let hexadecimal = "line 4: filefrag: an extent that is not understood (if filefrag was run with -X, its numbers are hexadecimal, which has no mark)";
    for (lines, want) in [
        ("   0:   0..   1:   a7..   a8:   2:   last,eof\n", hexadecimal),
        ("   0:   0..   1:   10..  1:   2:   last,eof\n", hexadecimal),
        ("   0:   0..   1:   10..  11:   3:   last,eof\n", hexadecimal),
        ("   0:   0..   1:   10..  12:   3:   last,eof\n", hexadecimal),
        (
            "   0:   1..   1:   10..  10:   1:   \n   1:   0..   0:   20..  20:   1:   last,eof\n",
            "line 5: filefrag: an extent lies before the end of the one above it",
        ),
        (
            "   0:   0..   0:   18446744073709551614..  18446744073709551614:   1:   last,eof\n",
            "line 4: filefrag: an extent ends past what 64 bits count",
        ),
        // Hexadecimal without a letter: the last extent ends before the file does.
        (
            "   0:   0..   0:   10..  10:   1:   last,eof\n",
            "line 4: filefrag: an extent that is said to reach the end of the file, and does not, \
             as of numbers in hexadecimal",
        ),
    ] {
        fails(Format::Filefrag, extents(lines), Usage, want);
    }
    let input = extents("   0:   0..   1:   10..  11:   2:   last,eof\n");
    let cut = input.replace("f: 1 extent found\n", "");
    fails(Format::Filefrag, cut, Usage, "line 2: \"f\": the list of its extents was cut off");
    fails(
        Format::Filefrag,
        "f: 1 extent found\n",
        Usage,
        "line 1: filefrag: this line belongs to no file (was it run with -v?)",
    );
}

pub(super) const MAPFILE: &str = "# Mapfile. Created by GNU ddrescue version 1.27
# current_pos  current_status  current_pass
0x01FF0000     ?               1
#      pos        size  status
0x00000000  0x00001000  +
0x00001000  0x00001000  +
0x00002000  0x00000200  -
0x00002200  0x00000E00  *
0x00003000  4096  +
0x00004000  010  ?
";

#[test]
fn mapfile_areas_go_to_their_own_position() {
    let item = |start: u64, len: u64, at: &str| {
        format!("{{\"name\":\"disk.img\",\"start\":{start},\"len\":{len}{at},\"file_len\":16392}}")
    };
    let at = |n: u64| format!(",\"dest_offset\":{n}");
    let (a, b) = (item(0, 8192, ""), item(12288, 4096, &at(12288)));
    reads(Format::Mapfile, MAPFILE, &[&a, &b]);
    let missing = ReadOptions {
        areas: AreaStatuses::new("?*/-").expect("statuses"),
        name: Some(Path::new("out.img")),
        base: 100,
        ..options()
    };
    let (c, d) = (item(8292, 4096, &at(8192)), item(16484, 8, &at(16384)));
    let (c, d) = (c.replace("disk", "out"), d.replace("disk", "out"));
    reads_with(&missing, Format::Mapfile, MAPFILE, &[&c, &d]);
    let bad = ReadOptions { areas: AreaStatuses::new("/").expect("a status"), ..options() };
    let none = read(MAPFILE.as_bytes(), None, &bad).expect("nothing scraped");
    assert_eq!(
        (none.items.len(), &*none.notes[0]),
        (0, "the mapfile has no area of the chosen status")
    );
    assert_eq!((AreaStatuses::new("+x"), AreaStatuses::new("")), (None, None));
}

#[test]
fn mapfiles_that_are_damaged_are_refused() {
    const NOT: &str = "line 2: mapfile: not a block (position, size, one of ?*/-+)";
    for (areas, want) in [
        (
            "0 1 +\n2 1 +\n",
            "line 3: mapfile: the block at 0x2 leaves a gap before it, which ends at 0x1",
        ),
        (
            "0 2 +\n1 1 +\n",
            "line 3: mapfile: the block at 0x1 overlaps the one before, which ends at 0x2",
        ),
        ("0 2\n", NOT),
        ("0 2 + 1\n", NOT),
        ("0 +2 +\n", NOT),
        ("0 09 +\n", NOT),
        ("0 2 F\n", NOT),
        (
            "1 0xFFFFFFFFFFFFFFFF +\n",
            "line 2: mapfile: the block ends past the largest position there is",
        ),
    ] {
        fails(Format::Mapfile, format!("0 + 1\n{areas}"), Usage, want);
    }
}

pub(super) const BMAP: &str = r#"<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize> 500000 </ImageSize>
    <BlockSize> 4096 </BlockSize>
    <BlocksCount> 123 </BlocksCount>
    <MappedBlocksCount> 3   </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> 0000000000000000000000000000000000000000000000000000000000000000 </BmapFileChecksum>
    <BlockMap>
        <Range chksum="a751b1fbbd799b0a876ca9a8b3cf6f61b186926b5794b2700945b9b205e557ae"> 24 </Range>
        <Range chksum="557520ced60546fd2412cb6d978fd4ef5345a8ab3bbcec27118cf2f8c4945cc0"> 121-122 </Range>
    </BlockMap>
</bmap>
"#;

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A map with its own checksum put in.
fn sealed(map: &str) -> String {
    map.replace(ZEROS, &hash_slice(Algorithm::Sha256, map.as_bytes()).to_string())
}

#[test]
fn bmap_ranges_end_with_the_image_and_keep_their_checksum() {
    let want = [
        r#"{"name":"disk.img","start":98304,"len":4096,"dest_offset":98304,"sha256":"a751b1fbbd799b0a876ca9a8b3cf6f61b186926b5794b2700945b9b205e557ae","file_len":500000}"#,
        r#"{"name":"disk.img","start":495616,"len":4384,"dest_offset":495616,"sha256":"557520ced60546fd2412cb6d978fd4ef5345a8ab3bbcec27118cf2f8c4945cc0","file_len":500000}"#,
    ];
    reads(Format::Bmap, sealed(BMAP), &want);
    let mut old =
        BMAP.replace("2.0", "1.2").replace("    <ChecksumType> sha256 </ChecksumType>\n", "");
    let at = old.find("    <BmapFile").expect("its checksum");
    let end = at + old[at..].find('\n').expect("its end");
    old.replace_range(at..=end, "");
    let old = old
        .replace("chksum=\"a751b1fbbd799b0a876ca9a8", "sha1=\"")
        .replace("chksum=\"557520ced60546fd2412cb6d", "sha1=\"");
    reads(
        Format::Bmap,
        old,
        &[
            r#"{"name":"disk.img","start":98304,"len":4096,"dest_offset":98304,"sha1":"b3cf6f61b186926b5794b2700945b9b205e557ae","file_len":500000}"#,
            r#"{"name":"disk.img","start":495616,"len":4384,"dest_offset":495616,"sha1":"978fd4ef5345a8ab3bbcec27118cf2f8c4945cc0","file_len":500000}"#,
        ],
    );
    let empty = "<bmap version='1.2'><ImageSize>5</ImageSize><BlockSize>4096</BlockSize></bmap>";
    reads(Format::Bmap, empty, &[r#"{"name":"disk.img","runs":[{"hole":true,"len":5}]}"#]);
}

#[test]
fn bmaps_that_are_damaged_are_refused() {
    let changed = "bmap: it does not match the checksum of itself: it was changed";
    fails(Format::Bmap, BMAP, Usage, changed);
    for (from, to, want) in [
        (" 24 ", " 25-24 ", "line 10: bmap: a range ends before it begins"),
        (" 24 ", " x ", "line 10: bmap: a range is FIRST-LAST or one block"),
        ("121-122", "122-123", "line 11: bmap: a range lies outside the image"),
        (
            "121-122",
            "122-18446744073709551615",
            "line 11: bmap: a range ends past what 64 bits count",
        ),
        ("121-122", "121", "bmap: MappedBlocksCount does not agree with the ranges"),
        ("> 123 <", "> 122 <", "bmap: BlocksCount does not agree with ImageSize"),
        ("> 500000 <", "> many <", "bmap: ImageSize is missing or no number"),
        ("sha256 <", "sha512 <", "bmap: checksums of type \"sha512\" are not supported"),
        ("2.0\"", "3.0\"", "line 1: bmap: version \"3.0\" is none of 1.2, 1.3, 1.4, 2.0"),
        ("a751", "", "line 10: bmap: sha256 has 64 hexadecimal digits, not 60"),
    ] {
        fails(Format::Bmap, sealed(&BMAP.replace(from, to)), Usage, want);
    }
}

pub(super) const MMLS: &str = "DOS Partition Table
Offset Sector: 0
Units are in 512-byte sectors

      Slot      Start        End          Length       Size    Description
000:  Meta      0000000000   0000000000   0000000001   0512B   Primary Table (#0)
001:  -------   0000000000   0000002047   0000002048   1024K   Unallocated
002:  000:000   0000002048   0000022047   0000020000   0009M   Linux (0x83)
003:  -------   0000022048   0000039999   0000017952   0008M   Unallocated
004:  000:001   0000040000   0000131071   0000091072   0044M   ../My \u{e9} Part
";

#[test]
fn mmls_partitions_are_images_of_their_own() {
    let want = [
        r#"{"name":"002-Linux_0x83.img","start":1048576,"len":10240000}"#,
        "{\"name\":\"004-.._My_\u{e9}_Part.img\",\"start\":20480000,\"len\":46628864}",
    ];
    reads(Format::Mmls, MMLS, &want);
    let plain: String = MMLS
        .lines()
        .map(|line| line.replace("   0009M", "").replace("   0044M", "") + "\n")
        .collect();
    reads(Format::Mmls, plain, &want);
    let manifest = read(MMLS.as_bytes(), None, &options()).expect("mmls's own");
    assert_eq!(manifest.notes, ["1 skipped: Meta (a partition table)", "2 skipped: Unallocated"]);
}

#[test]
fn mmls_output_that_is_not_clear_is_refused() {
    let (units, offset) = ("Units are in 512-byte sectors", "Offset Sector: 0");
    for (from, to, want) in [
        (units, "", "line 6: mmls: no line above says `Units are in N-byte sectors`"),
        (
            offset,
            "Offset Sector: 2048",
            "line 2: mmls: made with -o, so that its positions do not count from the beginning of the image: cut the image there, or list it without -o",
        ),
        ("0000020000", "0000020001", "line 8: mmls: start, end and length do not agree"),
        ("0000020000", "many", "line 8: mmls: start, end and length must be numbers"),
        ("002:", "002", "line 8: mmls: this line is not understood"),
        (
            "0000002048   0000022047   0000020000",
            "18446744073709551615 18446744073709551615 1",
            "line 8: mmls: an end past what 64 bits count",
        ),
    ] {
        fails(Format::Mmls, MMLS.replacen(from, to, 1), Usage, want);
    }
}
