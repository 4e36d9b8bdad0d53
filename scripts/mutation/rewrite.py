"""Puts many changes of a program into its sources at once, of which each run makes one.

What can be changed is said by `cargo mutants --list --json`. A change is text in place of a
piece of the syntax tree; `if crate::mutation::is(7) { a <= b } else { a < b }` is both.
"""

import re

import tree_sitter
import tree_sitter_rust

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))

# The module that knows which change is to be made; it is put at the end of the library.
MODULE = """
#[doc(hidden)]
#[allow(missing_docs)]
pub mod mutation {
    pub fn is(number: u32) -> bool {
        static CHOSEN: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
        *CHOSEN.get_or_init(|| std::env::var("MUTATION").ok()?.parse().ok()) == Some(number)
    }
}
"""


class Change:
    """One change: its number, its place, and a name that stays when lines move."""

    def __init__(self, number, listed):
        self.number, self.file, self.genre = number, listed["file"], listed["genre"]
        self.replacement, self.span = listed["replacement"], listed["span"]
        self.line = listed["span"]["start"]["line"]
        self.result = (listed.get("function") or {}).get("return_type")
        # Without line and column.
        self.name = re.sub(r":\d+:\d+: ", ": ", listed["name"])
        self.is_left_out = None


def changes_of(listed):
    """All that `cargo mutants` has listed, with names that differ."""
    seen, changes = {}, []
    for number, one in enumerate(listed):
        change = Change(number, one)
        seen[change.name] = seen.get(change.name, 0) + 1
        if seen[change.name] > 1:
            change.name += f" #{seen[change.name]}"
        changes.append(change)
    return changes


class File:
    """A source file with changes in it.

    Functions that the compiler may run as well are not those of one program for all changes:
    they ask for the number when they run. So `const fn` becomes `fn`, but for those of the
    names in `constants`, which the compiler does run.
    """

    def __init__(self, text, changes, constants):
        self.text, self.constants = text, constants
        self.lines = [0]
        for line in text.split(b"\n"):
            self.lines.append(self.lines[-1] + len(line) + 1)
        self.tree = PARSER.parse(text)
        self.wrapped = {}
        self.inserted = {}
        for change in changes:
            if not change.is_left_out:
                change.is_left_out = self.place(change)

    def at(self, place):
        """The offset of a line and a column, which count characters from 1."""
        begin = self.lines[place["line"] - 1]
        line = self.text[begin:self.lines[place["line"]]].decode()
        return begin + len(line[:place["column"] - 1].encode())

    def place(self, change):
        """Why `change` cannot be made this way; `None` if it can."""
        begin, end = self.at(change.span["start"]), self.at(change.span["end"])
        node = self.tree.root_node.descendant_for_byte_range(begin, max(begin, end - 1))
        if self.is_constant(node):
            return "it is computed by the compiler"
        call = f"crate::mutation::is({change.number})"
        if change.genre == "FnValue" and "impl " in (change.result or ""):
            return "its type is that of the other result"
        if change.genre == "FnValue":
            while node and node.type != "function_item":
                node = node.parent
            body = node.child_by_field_name("body")
            text = f" if {call} {{ return {change.replacement}; }} "
            self.inserted.setdefault(body.start_byte + 1, []).append((change, text))
            return None
        if change.genre == "MatchArm":
            while node and node.type != "match_arm":
                node = node.parent
            pattern = node.child_by_field_name("pattern")
            guard = pattern.child_by_field_name("condition")
            if guard is None:
                self.inserted.setdefault(pattern.end_byte, []).append((change, f" if !{call}"))
                return None
            if guard.type in ("let_chain", "let_condition"):
                return "a guard that binds names"
            self.wrapped.setdefault((guard.start_byte, guard.end_byte), []).append((change, call, "false"))
            return None
        return self.place_expression(change, node, begin, end, call)

    def place_expression(self, change, node, begin, end, call):
        if change.genre == "MatchArmGuard":
            while node.end_byte < end:
                node = node.parent
            if node.type in ("let_chain", "let_condition"):
                return "a guard that binds names"
            variant = change.replacement
        elif change.genre == "BinaryOperator":
            node = node.parent
            if node.type not in ("binary_expression", "compound_assignment_expr"):
                return "a chain that binds names"
            variant = self.slice(node.start_byte, begin) + change.replacement + self.slice(end, node.end_byte)
        elif change.genre == "UnaryOperator":
            node = node.parent
            if node.type != "unary_expression":
                return f"it is in {node.type}"
            variant = self.slice(end, node.end_byte)
        elif change.genre == "StructField":
            while node and node.type != "struct_expression":
                node = node.parent
            rest = self.slice(end, node.end_byte).lstrip().removeprefix(",")
            variant = self.slice(node.start_byte, begin) + rest
        else:
            return f"a change of the kind {change.genre}"
        self.wrapped.setdefault((node.start_byte, node.end_byte), []).append((change, call, variant))
        return None

    def is_constant(self, node):
        """Whether the compiler computes `node` itself, which cannot ask the environment."""
        while node:
            if node.type in ("const_item", "static_item", "array_type", "macro_invocation", "attribute_item"):
                return True
            if node.type == "function_item":
                return is_const_fn(node) and node.child_by_field_name("name").text.decode() in self.constants
            node = node.parent
        return False

    def slice(self, begin, end):
        return self.text[begin:end].decode()

    def rewritten(self):
        """The text with all changes in it."""
        self.out = []
        self.render(self.tree.root_node)
        return "".join(self.out)

    def render(self, node):
        if node.type == "const" and node.parent.type == "function_modifiers" and not self.is_constant(node):
            return
        key = (node.start_byte, node.end_byte)
        wrapped = self.wrapped.pop(key, None)
        if wrapped:
            self.out.append("(")
            for change, call, variant in wrapped:
                self.out.append(f"if {call} {{ /*<{change.number}*/ {variant} /*{change.number}>*/ }} else ")
            self.out.append("{ ")
        at = node.start_byte
        if not node.children:
            self.put(at, node.end_byte)
        for child in node.children:
            self.put(at, child.start_byte)
            self.render(child)
            at = child.end_byte
        if node.children:
            self.put(at, node.end_byte)
        if wrapped:
            self.out.append(" })")

    def put(self, begin, end):
        """The text from `begin` up to `end`, with what is inserted in it."""
        for place in sorted(self.inserted):
            if begin <= place < end or place == end == begin:
                self.out.append(self.slice(begin, place))
                for change, text in self.inserted.pop(place):
                    self.out.append(f"/*<{change.number}*/{text}/*{change.number}>*/")
                begin = place
        self.out.append(self.slice(begin, end))


def is_const_fn(function):
    return any(child.type == "function_modifiers" and any(word.type == "const" for word in child.children)
               for child in function.children)


def blamed(text, begin, end):
    """The numbers of the changes that the bytes from `begin` up to `end` are of; the innermost first."""
    found = []
    for match in re.finditer(rb"/\*<(\d+)\*/", text):
        close = text.find(b"/*%s>*/" % match[1], match.end())
        if match.start() <= begin and end <= close + 20:
            found.append((close - match.start(), int(match[1])))
    return [number for _, number in sorted(found)]
