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
"""What tools/demo runs once everything is installed: guests, agent, tables."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import prettytable

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from tests import node  # noqa: E402
from tests.node import agent as polling  # noqa: E402

#: Short, so that the demo is: an operator has 300 s, 10 s and 120 s here.
INTERVAL_S, PERIOD_S, BOOT_GRACE_S = 2, 1, 6

#: What memstat-pollster report writes.
PAGE = CHECKOUT / 'build' / 'demo-report.html'

#: The status that each guest comes to, by its name.
EXPECTED = {
    'web': 'reporting', 'busy': 'reporting', 'cirros': 'driver_missing',
    'no-period': 'stats_disabled', 'no-device': 'no_device',
    'windows': 'service_missing', 'hung': 'stale', 'liar': 'invalid',
    'paused': 'not_running',
}


def say(text):
    print(f'== {text}', flush=True)


def start_guests(compute):
    """One guest of each kind that a node has; real QEMUs all of them."""
    guests = {}

    def properties(**named):
        return {'properties': named}

    def linux(name, **options):
        say(f'booting the Linux guest {name}')
        guests[name] = compute.linux(name, period=PERIOD_S, **options)
        return guests[name]

    def scripted(name, record=None, **options):
        options.setdefault('period', PERIOD_S)
        guests[name] = compute.scripted(name, **options)
        driver = guests[name].driver
        if record is not None:
            driver.attach()
            driver.push(record)
        return driver

    linux('web')
    linux('busy').command('eat 40', '^ATE')
    linux('cirros', cmdline='noballoon', **properties(os_distro='cirros'))
    guests['paused'] = linux('paused')
    say('starting the scripted guests: no period, no device, Windows without '
        'its service, a driver that hangs, a driver that lies')
    usual = node.linux_stats(491520, 204800, avail_kib=307200,
                             caches_kib=122880)
    scripted('no-period', usual, period=None)
    scripted('no-device', model='none')
    scripted('windows', node.windows_without_service(),
             **properties(os_type='windows')).answers = False
    scripted('hung', usual,
             **properties(os_type='windows')).answers = False
    scripted('liar', node.linux_stats(2**52, 204800, avail_kib=1))
    guests['paused'].domain.suspend()
    compute.answer()
    return guests


def wait_for_verdicts(agent, guests):
    """Poll until every guest has come to its status; the last cycle."""
    def settled(cycles):
        last = cycles[-1] if cycles else {}
        words = {
            name: last[guest.uuid]['memory.balloon.status'].metadata[
                'balloon_status']
            for name, guest in guests.items() if guest.uuid in last}
        return last if words == EXPECTED else None
    return agent.wait_for(settled, 'a verdict on every guest', 60)


def number(samples, name):
    return f'{samples[name].volume:.1f}' if name in samples else '-'


def print_table(guests, cycle, stock):
    table = prettytable.PrettyTable(
        ['name', 'status', 'age s', 'used MiB', 'available MiB',
         'stock used MiB', 'remedy'], align='l',
        hrules=prettytable.HRuleStyle.ALL)
    table.max_width['remedy'] = 46
    for name in ('age s', 'used MiB', 'available MiB', 'stock used MiB'):
        table.align[name] = 'r'
    for name, guest in guests.items():
        samples = cycle[guest.uuid]
        facts = samples['memory.balloon.status'].metadata
        table.add_row([
            name, facts['balloon_status'],
            number(samples, 'memory.stats.age'),
            number(samples, 'memory.usage'),
            number(samples, 'memory.available'),
            number(stock.get(guest.uuid, {}), 'memory.usage'),
            facts['balloon_remedy'] or '-'])
    print(table.get_string(), flush=True)


def run_command(agent, *argv):
    """The command that an operator has, with the agent's configuration."""
    return subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), 'memstat-pollster'),
         '--config-file', str(agent.directory / 'ceilometer.conf'), *argv],
        stdin=subprocess.DEVNULL)


def write_page(agent):
    """The node as a page."""
    PAGE.parent.mkdir(exist_ok=True)
    run_command(agent, 'report', '-o', str(PAGE)).check_returncode()


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end(number, _frame):
    """Ctrl-C, kill or a closed terminal: stop everything, undisturbed.

    Whoever is impatient, or signals the whole group, sends more than one.
    """
    for each in ENDINGS:
        signal.signal(each, signal.SIG_IGN)
    say('interrupted: stopping everything')
    sys.exit(128 + number)


def main():
    for each in ENDINGS:
        signal.signal(each, end)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        say('starting a private libvirtd')
        compute = stack.enter_context(node.Node())
        guests = start_guests(compute)
        say(f'starting ceilometer-polling as an unprivileged user, with '
            f'memstat_pollster: a cycle every {INTERVAL_S} s, boot_grace '
            f'{BOOT_GRACE_S} s')
        agent = stack.enter_context(contextlib.closing(polling.Agent(
            compute.ro_uri, interval=INTERVAL_S,
            options={'memstat': {'boot_grace': BOOT_GRACE_S}})))
        agent.start()
        say("starting a second one that serves Ceilometer's own "
            'memory.usage, to compare with')
        plain = stack.enter_context(contextlib.closing(polling.Agent(
            compute.ro_uri, interval=INTERVAL_S, meters=['memory.usage'],
            options={'memstat': {'replace_builtin': False}})))
        plain.start()
        cycle = wait_for_verdicts(agent, guests)
        stock = plain.wait_cycles(1)[-1]
        say(f'what the agents published of {len(guests)} guests')
        print_table(guests, cycle, stock)
        own = guests['web'].meminfo()
        seen = agent.wait_cycles(2)[-1][guests['web'].uuid]
        say("web's own /proc/meminfo beside its samples, in MiB")
        for key, meter in (('MemTotal', 'memory.available'),
                           ('MemAvailable', 'memory.usable'),
                           ('MemFree', 'memory.unused')):
            print(f'{key:>13} {own[key] / 1024:8.2f}   {meter:<17}'
                  f'{seen[meter].volume:8.2f}')
        say('what the plugin told the operator')
        for line in agent.said():
            print(line)
        say('memstat-pollster status')
        done = run_command(agent, 'status')
        say(f'its exit status is {done.returncode}, for monitoring: 1 while a '
            'guest has to be seen to')
        write_page(agent)
        say(f'the node as a page to look at: {PAGE}')
    say(f'all stopped and removed; {time.monotonic() - began:.0f} s')


if __name__ == '__main__':
    main()
