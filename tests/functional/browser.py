# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""A headless Chromium, driven by selenium; it reaches no network."""

from __future__ import annotations

import base64
import pathlib
import shutil
import tempfile
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome import service

ARGUMENTS = (
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic',
    '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
    '--disable-dev-shm-usage')
HEIGHT = 800


def missing() -> list[str]:
    """The programs that a browser needs and that are not installed."""
    return [name for name in ('chromium', 'chromedriver')
            if shutil.which(name) is None]


class Browser:
    """Chromium with a profile of its own, gone when it is closed."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix='memstat-browser-',
                                         dir='/tmp')
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which('chromium') or 'chromium'
        for argument in (*ARGUMENTS, f'--user-data-dir={self._profile}'):
            options.add_argument(argument)
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        self.driver = webdriver.Chrome(
            options=options,
            service=service.Service(shutil.which('chromedriver')))

    def close(self) -> None:
        """End it and remove its profile."""
        try:
            self.driver.quit()
        finally:
            shutil.rmtree(self._profile, ignore_errors=True)

    def show(self, page: pathlib.Path, *, width: int = 1280,
             dark: bool = False) -> None:
        """Load a page as a screen of this width shows it."""
        self._command('Emulation.setDeviceMetricsOverride', width=width,
                      height=HEIGHT, deviceScaleFactor=1,
                      mobile=width < 500)
        self._command('Emulation.setEmulatedMedia', features=[
            {'name': 'prefers-color-scheme',
             'value': 'dark' if dark else 'light'}])
        self.driver.get(page.as_uri())

    def _command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns that runs in the page."""
        return self.driver.execute_script(script, *arguments)

    def messages(self) -> list[str]:
        """What is in the console since the last call."""
        return [entry['message'] for entry in self.driver.get_log('browser')]

    def texts(self, selector: str) -> list[str]:
        """The text of each element that is shown."""
        return self.run(
            'return Array.from(document.querySelectorAll(arguments[0]))'
            '.filter((each) => each.checkVisibility())'
            '.map((each) => each.innerText.trim())', selector)

    def picture(self, height: int | None = None) -> bytes:
        """The page as PNG: all of it, or so much of its top."""
        whole = self.run('return [document.documentElement.clientWidth, '
                         'document.documentElement.scrollHeight]')
        clip = {'x': 0, 'y': 0, 'width': whole[0],
                'height': min(whole[1], height or whole[1]), 'scale': 1}
        return base64.b64decode(self._command(
            'Page.captureScreenshot', format='png', clip=clip,
            captureBeyondViewport=True)['data'])
