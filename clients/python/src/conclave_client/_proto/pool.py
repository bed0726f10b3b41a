"""Descriptor pool of the generated messages.

Other clients of etcd register `etcdserverpb.*` in protobuf's process-wide pool, from files that
differ from ours. A second definition of a name in one pool is an error, so ours have their own.
"""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
