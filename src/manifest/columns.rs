//! What the columns of a list are called, where another program named them.

use super::row::Field;

/// Which column or key is which field.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Columns(Vec<(Field, Box<str>)>);

/// Why a text does not say what columns are called.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadColumns(String);

impl Columns {
    /// Every field has a name of its own.
    pub const OWN: Columns = Columns(Vec::new());

    /// Whether every field has a name of its own.
    pub(crate) fn is_own(&self) -> bool {
        self.0.is_empty()
    }

    /// What the columns of a table mean that are named by their numbers, from 1, of
    /// which `cells` is the first row; `None` if none are. A column whose title is
    /// that number is named by its title.
    pub(crate) fn by_number(&self, cells: &[&str]) -> Option<Vec<Option<Field>>> {
        let number = |name: &str| {
            let number = name.parse::<usize>().ok().filter(|&number| number > 0)?;
            (!cells.contains(&name)).then_some(number)
        };
        self.0.iter().find(|(_, name)| number(name).is_some())?;
        let field = |(at, cell): (usize, &&str)| {
            let is_it = |name: &str| number(name).map_or(name == *cell, |number| number == at + 1);
            self.0.iter().find(|(_, name)| is_it(name)).map(|(field, _)| *field)
        };
        Some(cells.iter().enumerate().map(field).collect())
    }

    /// A field whose column has a number, which is more than there are.
    pub(crate) fn beyond(&self, columns: usize) -> Option<Field> {
        let is_beyond = |name: &str| name.parse::<usize>().is_ok_and(|number| number > columns);
        self.0.iter().find(|(_, name)| is_beyond(name)).map(|(field, _)| *field)
    }

    /// The field of a column or key. One that is renamed has no other name.
    pub(crate) fn field(&self, column: &str) -> Option<Field> {
        if let Some((field, _)) = self.0.iter().find(|(_, name)| **name == *column) {
            return Some(*field);
        }
        let own = Field::from_name(&column.replace('-', "_"));
        own.filter(|own| !self.0.iter().any(|(field, _)| field == own))
    }
}

/// `FIELD=COLUMN,...`, where a column is its title, or its number from 1.
impl std::str::FromStr for Columns {
    type Err = BadColumns;

    fn from_str(text: &str) -> Result<Columns, BadColumns> {
        let mut columns: Vec<(Field, Box<str>)> = Vec::new();
        for pair in text.split(',') {
            let Some((field, column)) = pair.split_once('=') else {
                return Err(BadColumns(format!("{pair:?} is not FIELD=COLUMN")));
            };
            let Some(known) = Field::from_name(&field.trim().replace('-', "_")) else {
                let names = Field::names();
                return Err(BadColumns(format!("{field:?} is not a field; known are {names}")));
            };
            let column = column.trim();
            if columns.iter().any(|(field, name)| *field == known || **name == *column) {
                return Err(BadColumns(format!("{pair:?}: one of both stands twice")));
            }
            columns.push((known, column.into()));
        }
        Ok(Columns(columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_renamed() {
        let columns: Columns = "name=Datei,start=From Byte".parse().unwrap();
        assert_eq!(columns.field("Datei"), Some(Field::Name));
        assert_eq!(columns.field("From Byte"), Some(Field::Start));
        assert_eq!(columns.field("len"), Some(Field::Len));
        assert_eq!(columns.field("offset"), None, "it is called otherwise");
        for (text, why) in
            [("name", "FIELD=COLUMN"), ("x=y", "known are name"), ("len=a,size=b", "twice")]
        {
            let error = text.parse::<Columns>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
