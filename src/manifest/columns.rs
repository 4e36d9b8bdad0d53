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

    /// The field of a column or key. One that is renamed has no other name.
    pub(crate) fn field(&self, column: &str) -> Option<Field> {
        if let Some((field, _)) = self.0.iter().find(|(_, name)| **name == *column) {
            return Some(*field);
        }
        let own = Field::from_name(&column.replace('-', "_"));
        own.filter(|own| !self.0.iter().any(|(field, _)| field == own))
    }
}

/// `FIELD=COLUMN,...`.
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
                return Err(BadColumns(format!("{field:?} is no field; known are {names}")));
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
