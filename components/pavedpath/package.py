"""The library as a Pulumi package: its components for programs in any language.

`PulumiPlugin.yaml` makes the directory of the library a plugin, and the schema of the package is inferred from the
components' annotations. What arrives from another program is JSON: every number a float, every choice a string, every
name in camelCase. `Package` turns it into what a Python program would have passed.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, cast, get_args, is_typeddict

import pulumi
import pulumi.provider
from pulumi.provider.experimental.analyzer import PropertyDefinition, PropertyType
from pulumi.provider.experimental.component import ComponentProvider

import pavedpath
from pavedpath.component import Component

NAME = "pavedpath"


def version() -> str:
    """Return the version of the installed library."""
    return metadata.version(NAME)


def components() -> list[type[Component]]:
    """Return every component of the library, by name."""
    public = [getattr(pavedpath, name) for name in sorted(dir(pavedpath))]
    return [each for each in public if inspect.isclass(each) and issubclass(each, Component)]


def _arguments(component: type[Component]) -> type:
    hint = component.__init__.__annotations__["args"]
    return next((kind for kind in get_args(hint) if kind is not type(None)), hint)


def _inherited(kind: type) -> Iterator[type]:
    """Yield what a TypedDict extends. It forgets that when it is made; its source does not."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    for base in cast(ast.ClassDef, definition).bases:
        found = getattr(sys.modules[kind.__module__], base.id, None) if isinstance(base, ast.Name) else None
        if found is not None and is_typeddict(found):
            yield found
            yield from _inherited(found)


class Package(ComponentProvider):
    """The provider of the package.

    The SDK's own mapping of inputs loses choices in lists and in maps, and leaves whole numbers floats; this one keeps
    what it does not know, so that a component names a misspelt argument as it does in Python.
    """

    def __init__(self) -> None:
        arguments = {component.__name__: _arguments(component) for component in components()}
        for component in components():
            # The SDK cannot read that all arguments together may be left out.
            component.__init__.__annotations__["args"] = arguments[component.__name__]
        super().__init__(cast(Any, components()), NAME, None, version())
        self._describe_inherited(arguments)

    def _describe_inherited(self, arguments: Mapping[str, type]) -> None:
        """Give the schema the words of arguments that a component shares with others; the SDK does not find them."""
        schema = json.loads(self.schema or "")
        for component, kind in arguments.items():
            names = self._component_defs[component].inputs_mapping
            for base in _inherited(kind):
                for name, described in schema["resources"][f"{NAME}:index:{component}"]["inputProperties"].items():
                    if "description" not in described and (words := self.analyzer.get_docstring(base, names[name])):
                        described["description"] = words
        self.schema = json.dumps(schema)

    def map_input_properties(
        self,
        inputs: Any,
        properties: dict[str, PropertyDefinition],
        mapping: dict[str, str],
        component_name: str,  # noqa: ARG002  # the SDK calls it so
        property_path: str,  # noqa: ARG002  # the SDK calls it so
    ) -> Any:
        """Give each input the name and the type that it has in Python."""
        return {
            mapping.get(name, name): self._value(value, properties[name]) if name in properties else value
            for name, value in inputs.items()
            if value is not None
        }

    def _value(self, value: Any, definition: PropertyDefinition) -> Any:
        if isinstance(value, pulumi.Output):
            known = cast(pulumi.Output[Any], value)
            return known.apply(lambda plain: self._value(plain, definition))
        if definition.ref:
            return self._named(value, definition)
        if definition.items and isinstance(value, Sequence) and not isinstance(value, str):
            return [self._value(item, definition.items) for item in cast(Sequence[Any], value)]
        if definition.additional_properties and isinstance(value, Mapping):
            each = definition.additional_properties
            return {key: self._value(item, each) for key, item in cast(Mapping[str, Any], value).items()}
        if definition.type is PropertyType.INTEGER and isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    def _named(self, value: Any, definition: PropertyDefinition) -> Any:
        named = self.get_type_definition(definition)
        if named is None:
            return value
        if named.enum:
            known = [member.value for member in named.enum]
            return named.python_type(value) if value in known else value
        if not isinstance(value, Mapping):
            return value
        return self.map_input_properties(value, named.properties, named.properties_mapping, named.name, "")


def main() -> None:
    """Serve the package to the engine that started this program."""
    pulumi.provider.main(Package(), sys.argv[1:])
