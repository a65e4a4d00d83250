"""Plugins: found by their entry points, loaded once; one that fails doesn't stop the others."""

import contextlib
import dataclasses
import os
import re
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any, Literal

import pluggy

from kh_zoo import hookspecs
from kh_zoo.errors import PluginError, PluginWarning
from kh_zoo.hookspecs import EngineFactory, Reader, RunnerFactory
from kh_zoo.nearest import nearest

GROUP = "keras_hypercolumns.plugins"
"""The group of the entry points by which plugins are found."""
SETTING = "KH_PLUGINS"
"""The variable that selects plugins: unset, all; empty, none; `a,b`, these; `-a,-b`, all others."""
BUILT_IN = ("kh_cli", "kh_zoo")
"""Names of the plugins of this distribution, which are always there."""
DISTRIBUTION = "keras-hypercolumns"


@dataclasses.dataclass
class Plugin:
    """What is known of a plugin."""

    name: str
    entry_point: EntryPoint | None
    """None if it is built in."""
    state: Literal["built in", "loaded", "disabled", "failed"]
    hooks: tuple[str, ...] = ()
    """Those that it implements; none where it was not loaded."""
    reason: str | None = None
    """Why it failed."""

    @property
    def distribution(self) -> str:
        """Name of the distribution that it was installed with."""
        dist = self.entry_point and self.entry_point.dist
        return dist.name if dist else DISTRIBUTION

    @property
    def version(self) -> str:
        """Version of its distribution."""
        return version(self.distribution)


class Plugins:
    """All plugins, and what they register. Each hook is called when it is first needed."""

    def __init__(self) -> None:
        self.all: list[Plugin] = []
        """Built-in ones, then the others by name; the first to take a name keeps it."""
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._owners: dict[tuple[str, str], str] = {}
        self._under_way: set[str] = set()
        self._warnings: list[PluginWarning] = []
        self._loaded = False

    def load(self) -> None:
        """Load the plugins that are installed and selected, unless that was done."""
        if self._loaded:
            return
        with self._collecting("plugins"):
            points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
            found = [Plugin(point.name, point, "loaded") for point in points]
            self.all += found
            self._select(found, os.environ.get(SETTING))
            for plugin, point in zip(found, points, strict=True):
                if plugin.state == "loaded":
                    self._load(plugin, point)
            self._loaded = True

    def add_built_in(self, name: str, plugin: object) -> None:
        """Add a plugin of this distribution, one of `BUILT_IN`."""
        self._manager.register(plugin, name)
        self.all.insert(0, Plugin(name, None, "built in", self._hooks(plugin)))

    @cached_property
    def engines(self) -> dict[str, EngineFactory]:
        """The engines, by name."""

        def entry(name: str, factory: EngineFactory) -> tuple[str, EngineFactory]:
            return check_name("engine", name), _callable("engine", name, factory)

        return self.registered("register_engines", "engine", entry)

    @cached_property
    def readers(self) -> dict[str, Reader]:
        """The readers of pictures that libvips does not read, by lower-case suffix."""

        def entry(suffix: str, reader: Reader) -> tuple[str, Reader]:
            if not re.fullmatch(r"\.\w+", suffix):
                raise PluginError(f"`suffix` should be one such as '.npy'. Received: {suffix!r}")
            return suffix.lower(), _callable("suffix", suffix, reader)

        return self.registered("register_readers", "suffix", entry)

    @cached_property
    def runners(self) -> dict[str, RunnerFactory]:
        """The runners, by name."""

        def entry(name: str, factory: RunnerFactory) -> tuple[str, RunnerFactory]:
            return check_name("runner", name), _callable("runner", name, factory)

        return self.registered("register_runners", "runner", entry)

    def try_all(self) -> list[Plugin]:
        """Collect what is collected here, and return the plugins: each failure is known then."""
        _ = self.engines, self.readers, self.runners
        return self.all

    def call(self, hook: str, take: Callable[[Plugin, Callable[..., object]], None]) -> None:
        """Call a hook, one plugin at a time.

        Args:
            hook: Its name.
            take: Called with each plugin that implements the hook, and its implementation. What
                is raised is a failure of that plugin.
        """
        with self._collecting(hook):
            for plugin in [plugin for plugin in self.all if hook in plugin.hooks]:
                others = [
                    other for name, other in self._manager.list_name_plugin() if name != plugin.name
                ]
                try:
                    take(plugin, self._manager.subset_hook_caller(hook, others))
                except (Exception, SystemExit) as error:
                    if plugin.state == "built in":
                        raise
                    self._fail(plugin, f"{hook}: ", error)

    def claim(self, plugin: Plugin, kind: str, names: Iterable[str]) -> None:
        """Note that names are those of a plugin: all of them, or none.

        Raises:
            PluginError: If one is taken already.
        """
        names = list(names)
        for name in names:
            owner = self.owner(kind, name)
            if owner not in (None, plugin.name):
                raise PluginError(f"{kind} {name!r} is that of plugin {owner!r} already")
        self._owners |= {(kind, name): plugin.name for name in names}

    def claim_built_in(self, kind: str, names: Iterable[str]) -> None:
        """Note that names are those of this distribution."""
        self._owners |= {(kind, name): "kh_zoo" for name in names}

    def owner(self, kind: str, name: str) -> str | None:
        """Name of the plugin that a command, engine, runner, variant or suffix is of."""
        return self._owners.get((kind, name))

    def culprit(self, error: BaseException) -> str | None:
        """Name of the plugin whose code an exception was raised in, or passed through."""
        packages = {
            plugin.entry_point.module.split(".")[0]: plugin.name
            for plugin in self.all
            if plugin.entry_point and plugin.hooks
        }
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        modules = [str(frame.f_globals.get("__name__")).split(".")[0] for frame in frames]
        return next((packages[name] for name in reversed(modules) if name in packages), None)

    def _select(self, plugins: list[Plugin], setting: str | None) -> None:
        """Mark as disabled what `KH_PLUGINS` leaves out."""
        if setting is None:
            return
        words = [word.strip() for word in setting.split(",") if word.strip()]
        wanted = {_plain(word): word for word in words if word[0] != "-"}
        unwanted = {_plain(word[1:]): word[1:] for word in words if word[0] == "-"}
        known: set[str] = set()
        for plugin in plugins:
            names = {_plain(plugin.name), _plain(plugin.distribution)}
            known |= names
            chosen = names & wanted.keys() if wanted or not unwanted else True
            if not chosen or names & unwanted.keys():
                plugin.state = "disabled"
        choices = [plugin.name for plugin in plugins]
        for plain, word in (wanted | unwanted).items():
            if plain not in known:
                there = ", ".join(map(repr, choices)) or "there is none"
                self._warnings.append(
                    PluginWarning(
                        f"`{SETTING}` should name installed plugins: {there}."
                        f"{nearest(word, choices)} Received: {word!r}"
                    )
                )

    def _load(self, plugin: Plugin, entry_point: EntryPoint) -> None:
        try:
            if plugin.name in BUILT_IN or self._manager.has_plugin(plugin.name):
                raise PluginError("another plugin has that name")
            module = entry_point.load()
            other = self._manager.get_name(module)
            if other:
                raise PluginError(f"its entry point is that of plugin {other!r} too")
            self._manager.register(module, plugin.name)
            plugin.hooks = self._hooks(module)
        except (Exception, SystemExit) as error:
            self._fail(plugin, "", error)

    def _hooks(self, module: object) -> tuple[str, ...]:
        """Names of the hooks that a registered plugin implements."""
        callers = self._manager.get_hookcallers(module) or []
        hooks = [caller.name for caller in callers if caller.has_spec()]
        for caller in callers:
            if not caller.has_spec():
                choices = [name for name in vars(hookspecs) if name.startswith("register_")]
                raise PluginError(
                    f"a hook should be one of {', '.join(choices)}.{nearest(caller.name, choices)} "
                    f"Received: {caller.name!r}"
                )
        if not hooks:
            raise PluginError("it has no function with `@hookimpl`, see `kh_zoo.hookspecs`")
        return tuple(hooks)

    def registered(
        self, hook: str, kind: str, entry: Callable[..., tuple[str, Any]]
    ) -> dict[str, Any]:
        """Call a hook of things with names; of a plugin that fails in it, none is taken."""
        things: dict[str, Any] = {}

        def take(plugin: Plugin, implementation: Callable[..., object]) -> None:
            own: dict[str, Any] = {}

            def register(*arguments: Any) -> None:
                name, thing = entry(*arguments)
                if name in own:
                    raise PluginError(f"{kind} {name!r} is registered twice")
                own[name] = thing

            implementation(register=register)
            self.claim(plugin, kind, own)
            things.update(own)

        self.call(hook, take)
        return things

    def _fail(self, plugin: Plugin, where: str, error: BaseException) -> None:
        text = " ".join(str(error).split())
        if not isinstance(error, PluginError):
            text = f"{type(error).__name__}: {text}"
        plugin.state = "failed"
        plugin.reason = "; ".join(filter(None, (plugin.reason, where + text)))
        alone = sum(other.name == plugin.name for other in self.all) == 1
        name = plugin.name if alone else plugin.distribution
        warning = PluginWarning(
            f"plugin {plugin.name!r} failed: {where}{text} ({SETTING}=-{name} leaves it out)"
        )
        warning.__cause__ = error
        self._warnings.append(warning)

    @contextlib.contextmanager
    def _collecting(self, what: str) -> Iterator[None]:
        """Refuse to begin again inside of itself; warn at the end, when all is in order."""
        if what in self._under_way:
            raise PluginError(
                f"a plugin should not ask for what is just being collected ({what}), but in what "
                "it registers"
            )
        self._under_way.add(what)
        try:
            yield
        finally:
            self._under_way.remove(what)
        while self._warnings:
            warnings.warn(self._warnings.pop(0), stacklevel=2)


def plugins() -> Plugins:
    """Return the plugins; they are loaded on the first call."""
    PLUGINS.load()
    return PLUGINS


PLUGINS = Plugins()
"""To add what is built in; to ask, `plugins()`."""


def _plain(name: str) -> str:
    """The spelling by which names of distributions are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_name(kind: str, name: str) -> str:
    """Return the name of an engine, a runner or a variant, if it can be one."""
    # Between two digits `find_variant` takes a hyphen for "to".
    if not re.fullmatch(r"[a-z0-9_-]+", name) or re.search(r"\d[-_]\d", name):
        raise PluginError(
            f"the name of a {kind} should be of a-z, 0-9 and, not between two digits, - and _. "
            f"Received: {name!r}"
        )
    return name


def _callable(kind: str, name: str, thing: Any) -> Any:
    if not callable(thing):
        raise PluginError(f"what computes {kind} {name!r} should be callable. Received: {thing!r}")
    return thing
