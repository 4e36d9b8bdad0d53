//! What is wrong with a row of a list, so far as there is a way around it.

/// What kind of fault a row of a list has, for a caller who knows a way around it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// A range that does not lie inside its source.
    Outside,
    /// A name that cannot be had, or must not.
    Name,
    /// A place that another row has.
    Clash,
    /// A file whose bytes have no place of their own.
    Unmappable,
    /// Ranges of a disk, and a source in which the disk is packed.
    Container,
    /// A source of which only a part can be read, and all of it is wanted.
    EndsEarly,
    /// A column or key that is not known.
    Column,
    /// Numbers that may be hexadecimal.
    Radix,
    /// A list that does not say what its source is like.
    NoSource,
    /// A source that seems to be one of several pieces.
    Piece,
    /// A folder where a file is wanted.
    Folder,
    /// Anything else.
    Other,
}
