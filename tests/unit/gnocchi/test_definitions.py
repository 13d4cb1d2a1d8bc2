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

"""Ceilometer's definitions file, with the plugin's meters merged in."""

import copy
import importlib.util
import pathlib

from ceilometer.publisher import gnocchi as publisher
import testtools
import yaml

from memstat_pollster.gnocchi import definitions
from memstat_pollster.model import meters

ETC = pathlib.Path(__file__).resolve().parents[3] / 'etc'
STOCK = pathlib.Path(importlib.util.find_spec(
    'ceilometer').submodule_search_locations[0],
    'publisher', 'data', 'gnocchi_resources.yaml')

POLICY = {'name': 'ceilometer-low', 'aggregation_methods': ['mean'],
          'back_window': 0,
          'definition': [{'granularity': '1 minute', 'timespan': '1 day'}]}
STATUS_POLICY = {
    'name': 'memstat-status', 'aggregation_methods': ['last', 'max'],
    'back_window': 0,
    'definition': [{'granularity': '5 minutes', 'timespan': '30 days'}]}
VOLUME = {'resource_type': 'volume', 'metrics': {'volume.size': None}}
THEIRS = {'memory': None, 'memory.usage': {'archive_policy_name': 'bronze'},
          'memory.resident': None, 'memory.swap.in': None,
          'memory.swap.out': None, 'cpu': None}

#: An operator's file, made for a release without memory.available.
DOCUMENT = {
    'archive_policy_default': 'ceilometer-low',
    'archive_policies': [POLICY],
    'resources': [
        VOLUME,
        {'resource_type': 'instance',
         'metrics': THEIRS,
         'attributes': {'host': 'resource_metadata.instance_host'},
         'event_delete': 'compute.instance.delete.start'},
    ]}
MERGED = {
    'archive_policy_default': 'ceilometer-low',
    'archive_policies': [POLICY, STATUS_POLICY],
    'resources': [
        VOLUME,
        {'resource_type': 'instance',
         'metrics': {
             **dict.fromkeys(meters.METERS), **THEIRS,
             'memory.balloon.status': {
                 'archive_policy_name': 'memstat-status'}},
         'attributes': {
             'host': 'resource_metadata.instance_host',
             'balloon_status': 'resource_metadata.balloon_status'},
         'event_delete': 'compute.instance.delete.start'},
    ]}


class TestMerged(testtools.TestCase):
    def test_what_is_missing_is_added_and_the_rest_stays(self):
        given = copy.deepcopy(DOCUMENT)
        self.assertEqual(MERGED, definitions.merged(given))
        self.assertEqual(DOCUMENT, given)

    def test_a_second_time_changes_nothing(self):
        self.assertEqual(MERGED, definitions.merged(
            definitions.merged(DOCUMENT)))

    def test_what_an_operator_chose_for_our_meters_stays(self):
        own = copy.deepcopy(MERGED)
        own['archive_policies'][1]['aggregation_methods'] = ['count']
        instance = own['resources'][1]
        instance['metrics']['memory.util'] = {'archive_policy_name': 'gold'}
        instance['attributes']['balloon_status'] = 'resource_metadata.x'
        self.assertEqual(own, definitions.merged(own))

    def test_a_meter_that_another_resource_type_has_is_not_taken(self):
        """The publisher has one resource type for a meter: the last."""
        own = copy.deepcopy(DOCUMENT)
        own['resources'][0] = {'resource_type': 'guest_memory',
                               'metrics': ['memory.util', 'memory.stats.age']}
        found = definitions.merged(own)
        self.assertEqual(own['resources'][0], found['resources'][0])
        self.assertEqual(
            set(MERGED['resources'][1]['metrics'])
            - {'memory.util', 'memory.stats.age'},
            set(found['resources'][1]['metrics']))

    def test_metrics_may_be_a_list_of_names(self):
        own = copy.deepcopy(DOCUMENT)
        own['resources'][1]['metrics'] = ['cpu']
        expected = dict.fromkeys(['cpu', *meters.METERS])
        expected['memory.balloon.status'] = {
            'archive_policy_name': 'memstat-status'}
        self.assertEqual(
            expected, definitions.merged(own)['resources'][1]['metrics'])

    def test_a_file_without_archive_policies_gets_ours(self):
        own = copy.deepcopy(DOCUMENT)
        del own['archive_policies']
        self.assertEqual([STATUS_POLICY],
                         definitions.merged(own)['archive_policies'])

    def test_what_is_no_definitions_file_is_told(self):
        cases = {
            'it is not a mapping': [None, [], 'text', 7],
            'it has no resource_type instance': [
                {}, {'resources': None}, {'resources': [VOLUME]}],
            'resources is not a list of mappings': [
                {'resources': 'x'}, {'resources': [1]}],
            'archive_policies is not a list of mappings': [
                {**DOCUMENT, 'archive_policies': {'name': 'x'}}],
            'the metrics of resource_type instance are neither a mapping nor '
            'a list of names': [{'resources': [{'resource_type': 'instance',
                                                'metrics': [['x']]}]}],
            'the attributes of resource_type instance are not a mapping': [
                {'resources': [{'resource_type': 'instance',
                                'attributes': ['host']}]}],
        }
        for message, documents in cases.items():
            for document in documents:
                error = self.assertRaises(definitions.DefinitionsError,
                                          definitions.merged, document)
                self.assertEqual(message, str(error))

    def test_ceilometers_publisher_takes_what_was_merged_with_its_own(self):
        merged = definitions.merged(yaml.safe_load(STOCK.read_text()))
        instance, = (publisher.ResourcesDefinition(
            resource, merged['archive_policy_default'], None, None)
            for resource in merged['resources']
            if resource['resource_type'] == 'instance')
        self.assertEqual(
            {name: {'archive_policy_name': 'memstat-status'
                    if name == 'memory.balloon.status' else 'ceilometer-low'}
             for name in meters.METERS},
            {name: instance.metrics[name] for name in meters.METERS})
        self.assertEqual(
            {'balloon_status': 'stale'},
            instance.sample_attributes(_Sample({'balloon_status': 'stale'})))


class _Sample:
    def __init__(self, metadata):
        self._metadata = metadata

    def as_dict(self):
        return {'resource_metadata': self._metadata}


class TestPublishers(testtools.TestCase):
    def test_those_of_gnocchi_are_found(self):
        self.assertEqual(
            ['gnocchi://', 'gnocchi://?archive_policy=low', 'gnocchi'],
            definitions.publishers({'sinks': [
                {'publishers': ['notifier://', 'gnocchi://']},
                {'publishers': ['gnocchi://?archive_policy=low', 'gnocchi']},
                {}]}))

    def test_what_is_no_pipeline_is_told(self):
        for message, document in {
                'it is not a mapping': [],
                'sinks is not a list of mappings': {'sinks': [1]},
                'the publishers of a sink are not a list': {
                    'sinks': [{'publishers': 'gnocchi://'}]},
        }.items():
            error = self.assertRaises(definitions.DefinitionsError,
                                      definitions.publishers, document)
            self.assertEqual(message, str(error))


class TestExamples(testtools.TestCase):
    """etc/pipeline.yaml and etc/memstat_gnocchi_resources.yaml"""

    def setUp(self):
        super().setUp()
        self.pipeline = yaml.safe_load((ETC / 'pipeline.yaml').read_text())
        self.file = yaml.safe_load(
            (ETC / 'memstat_gnocchi_resources.yaml').read_text())
        self.stock = yaml.safe_load(STOCK.read_text())

    def test_every_meter_has_one_publisher_that_knows_it(self):
        """Any release's own file: 24 does not name memory.available."""
        known, = (set(resource['metrics']) for resource
                  in self.stock['resources']
                  if resource['resource_type'] == 'instance')
        ours, = (resource['metrics'] for resource in self.file['resources'])
        own, extra = self.pipeline['sources']
        self.assertEqual(['*', *(f'!{name}' for name in extra['meters'])],
                         own['meters'])
        self.assertEqual(list(ours), extra['meters'])
        self.assertEqual(
            set(), set(meters.METERS) - (known - {'memory.available'})
            - set(ours), 'name these in etc/memstat_gnocchi_resources.yaml '
            'and, twice, in etc/pipeline.yaml')

    def test_the_second_publisher_reads_the_file_beside_it(self):
        self.assertEqual(
            ['gnocchi://', 'gnocchi://?resources_definition_file='
                           'memstat_gnocchi_resources.yaml'],
            definitions.publishers(self.pipeline))

    def test_it_says_of_instances_what_ceilometers_own_file_says(self):
        """Either publisher may be the one that makes the resource."""
        theirs, = (resource for resource in self.stock['resources']
                   if resource['resource_type'] == 'instance')
        ours, = self.file['resources']
        self.assertEqual(
            {**theirs['attributes'],
             definitions.ATTRIBUTE: definitions.ATTRIBUTE_SOURCE},
            ours['attributes'])
        self.assertEqual(self.stock['archive_policy_default'],
                         self.file['archive_policy_default'])
        self.assertEqual(
            [policy for policy in self.stock['archive_policies']
             if policy['name'] == self.file['archive_policy_default']]
            + [definitions.STATUS_POLICY], self.file['archive_policies'])

    def test_it_names_the_archive_policies_that_the_command_does(self):
        ours, = self.file['resources']
        self.assertEqual({name: definitions.METRICS[name]
                          for name in ours['metrics']}, ours['metrics'])
