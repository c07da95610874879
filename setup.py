"""Builds the native modules with CMake; docs/building.md has the variables that steer it, pyproject.toml the rest."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
OPTIONS = ("QGSSL_CUDA", "QGSSL_CUDA_ARCHS", "QGSSL_SANITIZE")


class CMakeBuild(build_ext):
    """One CMake run installs ``_C`` and, where nvcc works, ``_cuda`` beside the package's Python files."""

    def build_extension(self, ext: Extension) -> None:
        import pybind11

        target = Path(self.get_ext_fullpath(ext.name)).parent.resolve()
        build = Path(self.build_temp).resolve()
        build.mkdir(parents=True, exist_ok=True)
        cmake, ninja = self._tool("cmake"), self._tool("ninja")
        # --fresh: an earlier build's cache would point into an isolated environment that is gone, or to another nvcc.
        configure = [
            *(cmake, "--fresh", "-S", str(ROOT), "-B", str(build), "-G", "Ninja"),
            f"-DCMAKE_MAKE_PROGRAM={ninja}",
            f"-DCMAKE_BUILD_TYPE={os.environ.get('QGSSL_BUILD_TYPE', 'Release')}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DCMAKE_INSTALL_PREFIX={target}",
            *(f"-D{name}={os.environ[name]}" for name in OPTIONS if os.environ.get(name)),
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]
        for stale in (*target.glob("_C*.so"), *target.glob("_cuda*.so")):
            stale.unlink()  # a CUDA module of an earlier build must not stay beside a newer C++ module
        try:
            subprocess.run(configure, check=True)
            subprocess.run([cmake, "--build", str(build), "--parallel", str(os.cpu_count() or 2)], check=True)
            subprocess.run([cmake, "--install", str(build)], check=True)
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"qgssl_fast: the native build failed (see above): {shlex.join(error.cmd)}") from None

    def copy_extensions_to_source(self) -> None:
        super().copy_extensions_to_source()
        package = ROOT / "qgssl_fast"
        for stale in package.glob("_cuda*.so"):
            stale.unlink()
        for built in (Path(self.build_lib) / "qgssl_fast").glob("_cuda*.so"):
            shutil.copy2(built, package / built.name)

    @staticmethod
    def _tool(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            raise SystemExit(f"qgssl_fast: {name} is needed to build (pip install {name})")
        return path


setup(ext_modules=[Extension("qgssl_fast._C", sources=[])], cmdclass={"build_ext": CMakeBuild})
