//! Lists as other programs and other versions write them.

use super::*;
use crate::error::Fault;
use crate::manifest::ErrorKind::{Refused, Usage};
use crate::manifest::{Columns, Lenience, read_lenient, settle};

pub(super) const SFDISK: &str = "label: dos\nlabel-id: 0x20720eda\ndevice: j\nunit: sectors\nsector-size: 512\n\n\
    j1 : start=        2048, size=        2048, type=83\n\
    j2 : start=        4096, size=       20000, type=5\n\
    j5 : start=        6144, size=        3000, type=82, bootable\n";

const ONE: &str = r#"{"name":"a","start":0,"len":512}"#;

#[test]
fn tables_of_spreadsheets() {
    for table in [
        "name;start;len\na;0;512\n",
        "sep=;\nname;start;len\na;0;512\n",
        "sep=;\r\nname;start;len\r\na;0;512\r\n",
        "sep=,\nname,start,len\na,0,512\n",
        "sep=|\nname|start|len\na|0|512\n",
        "name|start|len\na|0|512\n",
        "name\tstart\tlen\na\t0\t512\n",
        "\"name\";\"start\";\"len\"\na;0;512\n",
        "# by hand\n\nname;start;len\n\"a\";0;512\n",
        "name,start,len\na,0.0,512.0\n",
        "name,start,len,unit\na,0.0,1.0,sector\n",
        "name,start,len,unit\na,0.00,1.00,512\n",
    ] {
        reads(Format::Csv, table, &[ONE]);
    }
    reads(
        Format::Csv,
        "name,note;start,start,len\na,x,0,512\n".replace("note;start", "note").as_str(),
        &[ONE],
    );
    let errors = "line 3: 2 columns, and the header has 3";
    fails(Format::Csv, "sep=;\nname;start;len\na;0\n", Usage, errors);
    let old = "name,start,len\ra,0,512\r";
    let errors = read(old.as_bytes(), None, &options()).expect_err("CR alone");
    assert!(errors.to_string().contains("carriage returns (CR) alone"), "{errors}");
    for number in ["1.000", "10.000"] {
        let errors = read(format!("name,start,len\na,{number},1\n").as_bytes(), None, &options());
        let errors = errors.expect_err("a thousand, or one").to_string();
        assert!(errors.contains("write one of them"), "{errors}");
    }
    for number in ["2048.5", "1.024", "1,5", ".0", "-1.0", "1e5", "1.0.0"] {
        let table = format!("name,start,len\na,\"{number}\",1\n");
        read(table.as_bytes(), None, &options()).expect_err(number);
    }
}

#[test]
fn columns_of_other_programs() {
    let columns: Columns = "name=Datei,start=Von,len=Bytes".parse().expect("columns");
    let renamed = ReadOptions { columns: &columns, ..options() };
    reads_with(&renamed, Format::Csv, "Datei,Von,Bytes\na,0,512\n", &[ONE]);
    reads_with(&renamed, Format::Jsonl, r#"{"Datei":"a","Von":0,"Bytes":512}"#, &[ONE]);
    let ignoring = ReadOptions { ignore_columns: true, ..options() };
    reads_with(&ignoring, Format::Csv, "name,type,start,len\na,jpg,0,512\n", &[ONE]);
    reads_with(
        &ignoring,
        Format::Jsonl,
        r#"{"name":"a","type":{"x":1},"start":0,"len":512}"#,
        &[ONE],
    );
    let both = ReadOptions { columns: &columns, ignore_columns: true, ..options() };
    reads_with(&both, Format::Csv, "Datei,name,Von,Bytes\na,b,0,512\n", &[ONE]);
    for list in ["name,type,start\n", "{\"name\":\"a\",\"type\":1}\n"] {
        let errors = read(list.as_bytes(), None, &options()).expect_err("unknown");
        assert!(errors.faults().contains(&Fault::Column), "{errors}");
        for says in ["name, dst, path", "dest_offset", "sha256"] {
            assert!(errors.to_string().contains(says), "{errors}");
        }
    }
}

#[test]
fn columns_by_their_numbers() {
    let columns: Columns = "name=3,start=1,len=2".parse().expect("columns");
    let numbered = ReadOptions { columns: &columns, ..options() };
    for list in [
        "0,512,a\n",
        "From,Bytes,File\n0,512,a\n",
        "0;512;a\n",
        "0|512|a|more|columns\n",
        "# made by hand\n\n0x0,512,a\n",
        "start;len;name\n0;512;a\n",
    ] {
        reads_with(&numbered, Format::Csv, list, &[ONE]);
        let found = read(list.as_bytes(), None, &numbered).expect("a table").items;
        assert_eq!(found.len(), 1, "the format is told by the columns: {list:?}");
    }
    fails_with(
        &numbered,
        Format::Csv,
        "0,512\n",
        Usage,
        "line 1: there is no column for name: a row has 2",
    );
    let mixed: Columns = "name=File,start=2,len=3".parse().expect("columns");
    let mixed = ReadOptions { columns: &mixed, ..options() };
    reads_with(&mixed, Format::Csv, "File,From,Bytes\na,0,512\n", &[ONE]);
    // A title that is a number names its column.
    let titled: Columns = "name=1,start=2,len=3".parse().expect("columns");
    let titled = ReadOptions { columns: &titled, ..options() };
    reads_with(&titled, Format::Csv, "3,2,1\n512,0,a\n", &[ONE]);
}

#[test]
fn json_of_other_programs() {
    let b = r#"{"name":"b","start":512,"len":1}"#;
    reads(Format::Jsonl, format!("[{ONE},{b}]"), &[ONE, b]);
    reads(Format::Jsonl, format!("[\n  {ONE},\n  {b}\n]\n"), &[ONE, b]);
    reads(
        Format::Jsonl,
        "[\n  {\n    \"name\": \"a\",\n    \"start\": 0.0,\n    \"len\": 512\n  }\n]\n",
        &[ONE],
    );
    reads(Format::Jsonl, "{\n  \"name\": \"a\",\n  \"start\": 0,\n  \"len\": 512\n}\n", &[ONE]);
    let wrong = "{\n  \"name\": \"a\",\n  \"strat\": 0\n}\n";
    let errors = read(wrong.as_bytes(), None, &options()).expect_err("a key").to_string();
    assert!(errors.starts_with("line 3: unknown field `strat`"), "{errors}");
}

#[test]
fn partitions_by_sfdisk() {
    let want = [
        r#"{"name":"001-83.img","start":1048576,"len":1048576}"#,
        r#"{"name":"005-82.img","start":3145728,"len":1536000}"#,
    ];
    reads(Format::Sfdisk, SFDISK, &want);
    let json = r#"{"partitiontable": {"label":"dos","unit":"sectors","sectorsize":512,"partitions":[
        {"node":"j1","start":2048,"size":2048,"type":"83"},{"node":"j2","start":4096,"size":20000,"type":"5"},
        {"node":"j5","start":6144,"size":3000,"type":"82"}]}}"#;
    reads(Format::Sfdisk, json, &want);
    let named = "unit: sectors\nsector-size: 4096\n/dev/nvme0n1p2 : start= 256, size= 256, type=X, name=\"b c\"\n";
    reads(Format::Sfdisk, named, &[r#"{"name":"002-b_c.img","start":1048576,"len":1048576}"#]);
    fails(
        Format::Sfdisk,
        "unit: cylinders\n",
        Usage,
        "line 1: sfdisk: its unit is none of sectors",
    );
    fails(
        Format::Sfdisk,
        "unit: sectors\na1 : start=1\n",
        Usage,
        "line 2: sfdisk: a partition without a start or a size",
    );
}

#[test]
fn mmls_with_sizes_with_commas_and_in_other_units() {
    let want = [r#"{"name":"002-Linux_0x83.img","start":1048576,"len":1048576}"#];
    let csv = "ID,Slot,Start,End,Length,Description\n000,Meta,0000000000,0000000000,0000000001,Primary\n\
        001,,0000000000,0000002047,0000002048,Unallocated\n002,000,0000002048,0000004095,0000002048,Linux (0x83)\n";
    reads(Format::Mmls, csv, &want);
    let sized = csv
        .replace("Length,", "Length,Size,")
        .replace("2048,Linux", "2048,1024K,Linux")
        .replace("0001,", "0001,0512B,")
        .replace("2048,Un", "2048,1024K,Un");
    reads(Format::Mmls, &sized, &want);
    let columns = "DOS Partition Table\nOffset Sector: 0\nUnits are in 512-byte sectors\n\n      \
        Slot      Start        End          Length       Size    Description\n\
        002:  000:000   0000002048   0000004095   0000002048   1024K   Linux (0x83)\n";
    reads(Format::Mmls, columns, &want);
    let of_4k = ReadOptions { sector_of: &|_| Some(4096), ..options() };
    let manifest = read(columns.as_bytes(), None, &of_4k).expect("mmls");
    assert!(
        manifest.notes[0].contains("512") && manifest.notes[0].contains("4096"),
        "{:?}",
        manifest.notes
    );
}

#[test]
fn filefrag_of_ext3_and_in_hexadecimal() {
    let frag = |extent: &str| {
        format!(
            "Filesystem type is: ef53\nFilesystem cylinder groups approximately 8\nFile size of f is 4096 (4 blocks of 1024 bytes)\n \
             ext:     logical_offset:        physical_offset: length:   expected: flags:\n{extent}\nf: 1 extent found\n"
        )
    };
    let decimal =
        frag("   0:        0..       3:       2201..      2204:      4:             last,eof");
    reads(Format::Filefrag, &decimal, &[r#"{"name":"f","start":2253824,"len":4096}"#]);
    let hex = ReadOptions { radix: 16, ..options() };
    reads_with(&hex, Format::Filefrag, &decimal, &[r#"{"name":"f","start":8913920,"len":4096}"#]);
    let letters =
        frag("   0:        0..       3:       22fe..      2301:      4:       1a0f: last,eof");
    reads_with(&hex, Format::Filefrag, &letters, &[r#"{"name":"f","start":9172992,"len":4096}"#]);
    let errors = read(letters.as_bytes(), None, &options()).expect_err("hexadecimal");
    assert_eq!(errors.faults(), [Fault::Radix].into(), "{errors}");
}

#[test]
fn domain_maps_of_partclone() {
    let map = "# Domain logfile created by partclone.ext4 v0.3.23\n# Source: e.img\n# Offset: 0x00000000\n# current_pos  current_status\n\
        0x02000000     ?\n#      pos        size  status\n0x00000000  0x00001000  +\n0x00001000  0x00001000  ?\n0x00002000  0x00001000  +\n";
    let manifest = read(map.as_bytes(), None, &options()).expect("a map");
    let places: Vec<u64> = manifest.items.iter().map(|item| item.dest_offset).collect();
    assert_eq!(places, [0, 0x2000]);
}

fn object(inside: &str) -> String {
    format!(
        "<dfxml>\n<fileobject><filename>f</filename><filesize>10</filesize>{inside}</fileobject>\n</dfxml>"
    )
}

#[test]
fn dfxml_of_other_versions_and_tools() {
    let data =
        "<byte_runs facet='data'><byte_run file_offset='0' img_offset='512' len='10'/></byte_runs>";
    let want = [r#"{"name":"f","start":512,"len":10}"#];
    for inside in [
        data.to_owned(),
        format!("<byte_runs facet='inode'><byte_run img_offset='8'/></byte_runs>{data}"),
        format!("{data}<byte_runs facet='name'><byte_run img_offset='8' len='3'/></byte_runs>"),
        format!("{data}<hashdigest type='md5'></hashdigest><hashdigest type='sha1'/>"),
        "<byte_runs><byte_run offset='4' img_offset='516' len='6'/><byte_run offset='0' img_offset='512' len='4'/></byte_runs>".to_owned(),
    ] {
        reads(Format::Dfxml, object(&inside), &want);
    }
    let text = object(&format!("{data}<link_target>@</link_target>"));
    let raw: Vec<u8> = text.bytes().map(|byte| if byte == b'@' { 0xff } else { byte }).collect();
    reads(Format::Dfxml, raw, &want);
    let run = "<byte_runs><byte_run file_offset='0' img_offset='8'/></byte_runs>";
    fails(Format::Dfxml, object(run), Refused, "line 2: \"f\": a byte run without a len");
}

#[test]
fn dfxml_names_keep_their_bytes() {
    if crate::sys::path_from_bytes(b"a\xFF").is_none() {
        return;
    }
    let data = "<byte_runs><byte_run file_offset='0' img_offset='512' len='10'/></byte_runs>";
    let text = object(data).replace("<filename>f<", "<filename>f@ü<");
    let raw: Vec<u8> = text.bytes().map(|byte| if byte == b'@' { 0xff } else { byte }).collect();
    reads(Format::Dfxml, raw, &[r#"{"name_hex":"66ffc3bc","start":512,"len":10}"#]);
}

#[test]
fn dfxml_of_what_is_deleted_listed_twice_or_of_another_stream() {
    let data = "<byte_runs><byte_run file_offset='0' img_offset='512' len='10'/></byte_runs>";
    let check = |text: String, deleted: bool, items: usize, note: &str| {
        let options = ReadOptions { deleted, ..options() };
        let (manifest, errors) = read_lenient(text.as_bytes(), Some(Format::Dfxml), &options);
        // A list of which nothing is left names nothing to copy.
        assert_eq!(errors.is_empty(), items > 0, "{errors}");
        assert_eq!(
            (manifest.items.len(), manifest.notes.join("\n")),
            (items, note.to_owned()),
            "{text}"
        );
    };
    for mark in ["<unused>1</unused>", "<unalloc>1</unalloc>", "<used>0</used>", "<alloc>0</alloc>"]
    {
        check(object(&format!("{mark}{data}")), false, 0, "1 skipped: deleted file");
        check(object(&format!("{mark}{data}")), true, 1, "");
    }
    check(object(&format!("<used>1</used><alloc>1</alloc>{data}")), false, 1, "");
    let one = object(data).replace("<dfxml>", "").replace("</dfxml>", "");
    check(format!("<dfxml>{one}{one}</dfxml>"), false, 1, "1 skipped: listed twice");
    let other = one.replace("512", "1024");
    check(format!("<dfxml>{one}{other}</dfxml>"), false, 2, "");
    let nobody = "<name_type>-</name_type><meta_type>0</meta_type>";
    check(object(nobody), false, 0, "1 skipped: object without a type");
    let stream = object(data).replace("<filesize>10<", "<filesize>0<");
    check(
        stream,
        false,
        0,
        "1 skipped: a file of size 0 whose byte runs are those of another stream",
    );
    let cut = format!("<dfxml>{one}{one}<fileobject><filename>g");
    let errors = read(cut.as_bytes(), None, &options()).expect_err("cut off").to_string();
    assert!(errors.contains("2 file objects before it are whole"), "{errors}");
}

#[test]
fn rows_that_would_refuse_the_list_are_settled() {
    let list = "name,start,len,md5\na,0,10,\nb,95,10,00000000000000000000000000000000\nc,200,5,\na,20,10,\n../d,0,1,\na/e,0,1,\nx.tar.gz,0,1,\nx.tar.gz,5,1,\n";
    #[track_caller]
    fn check(list: &str, lenience: Lenience, want: &[(&str, u64, u64)], notes: usize) {
        let mut items = read(list.as_bytes(), None, &options()).expect("rows").items;
        let told = settle(&mut items, lenience, |_| Some(100));
        let found: Vec<(String, u64, u64)> = items
            .iter()
            .map(|item| {
                let first = item.runs.pieces(100).next();
                let Some(crate::manifest::Run::Data(range)) = first else { panic!("a run") };
                (item.name.to_string_lossy().into_owned(), range.start(), range.len())
            })
            .collect();
        let found: Vec<(&str, u64, u64)> = found.iter().map(|(n, s, l)| (&**n, *s, *l)).collect();
        assert_eq!(found, want, "{lenience:?}");
        assert_eq!(told.len(), notes, "{told:?}");
    }
    let all = [
        ("a", 0, 10),
        ("b", 95, 10),
        ("c", 200, 5),
        ("a", 20, 10),
        ("../d", 0, 1),
        ("a/e", 0, 1),
        ("x.tar.gz", 0, 1),
        ("x.tar.gz", 5, 1),
    ];
    check(list, Lenience::default(), &all, 0);
    let skip = Lenience {
        skip_outside: true,
        skip_names: true,
        skip_clashes: true,
        ..Lenience::default()
    };
    check(list, skip, &[("a", 0, 10), ("x.tar.gz", 0, 1)], 3);
    let mend =
        Lenience { clamp: true, skip_names: true, number_clashes: true, ..Lenience::default() };
    let want = [
        ("a", 0, 10),
        ("b", 95, 5),
        ("a~2", 20, 10),
        // Both were a~2 at first.
        ("a~3/e", 0, 1),
        ("x.tar.gz", 0, 1),
        ("x.tar~2.gz", 5, 1),
    ];
    check(list, mend, &want, 4);
    let mut items = read(list.as_bytes(), None, &options()).expect("rows").items;
    settle(&mut items, mend, |_| Some(100));
    let errors = crate::manifest::check(&items, |_| Some(100));
    assert!(errors.is_ok(), "{}", errors.unwrap_err());
}
