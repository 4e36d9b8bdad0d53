use super::*;
use crate::durable::trust::Trust;

/// A run that looks for what another one has left, when that one has just given the name
/// and not yet taken its map away.
struct Meeting {
    folder: tempfile::TempDir,
    map_file: MapFile,
}

impl Meeting {
    fn new() -> Meeting {
        let folder = tempfile::tempdir().unwrap();
        let map_file = MapFile::new(&folder.path().join("copy.pcopy-map")).unwrap();
        // One that says nothing.
        std::fs::write(map_file.path(), "# Mapfile. Created by pcopy").unwrap();
        Meeting { folder, map_file }
    }

    fn target(&self, force: bool) -> StagedTarget {
        StagedTarget::look_at(self.folder.path().join("copy"), force).unwrap()
    }

    fn write(&self, name: &str) -> File {
        let path = self.folder.path().join(name);
        std::fs::write(&path, "theirs").unwrap();
        File::options().write(true).open(path).unwrap()
    }

    fn look(&self, target: &StagedTarget) -> Result<(), Refusal> {
        let mut examiner = Examiner::new(Trust::default());
        check_no_map_alone(&self.map_file, &mut examiner, |examiner| {
            check_not_begun(target, Purpose::Discard, examiner)
        })
    }
}

#[test]
fn a_map_whose_run_has_just_given_the_name_was_not_left() {
    let meeting = Meeting::new();
    let target = meeting.target(false);
    let copy = meeting.write("copy");
    assert!(matches!(meeting.look(&target), Err(Refusal::Exists { .. })));
    // It has the file until it has taken the map away.
    sys::try_lock(&copy).unwrap();
    assert!(matches!(meeting.look(&meeting.target(true)), Err(Refusal::Busy { .. })));
}

#[test]
fn a_map_whose_run_has_just_made_its_part_was_not_left() {
    let meeting = Meeting::new();
    let target = meeting.target(false);
    let part = meeting.write("copy.pcopy-part");
    sys::try_lock(&part).unwrap();
    assert!(matches!(meeting.look(&target), Err(Refusal::Busy { .. })));
    drop(part);
    let left = meeting.look(&target).unwrap_err();
    assert!(matches!(left, Refusal::Leftover { path, .. } if path == target.part_path()));
}

#[test]
fn a_map_that_is_alone_was_left() {
    let meeting = Meeting::new();
    let left = meeting.look(&meeting.target(false)).unwrap_err();
    assert!(matches!(left, Refusal::Leftover { path, .. } if path == meeting.map_file.path()));
    meeting.map_file.remove().unwrap();
    meeting.look(&meeting.target(false)).unwrap();
}

/// A copy of what could partly not be read has its name, and its map stays.
#[test]
fn a_map_of_a_file_that_had_its_name_before_was_left() {
    let meeting = Meeting::new();
    drop(meeting.write("copy"));
    let left = meeting.look(&meeting.target(false)).unwrap_err();
    assert!(matches!(left, Refusal::Leftover { path, .. } if path == meeting.map_file.path()));
}
