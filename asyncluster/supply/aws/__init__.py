"""AWS (EC2), or what speaks as it does, as a cloud.  boto3 is imported when the first pool of this type is asked."""

from __future__ import annotations

from asyncluster.supply.aws.cloud import AwsCloud

__all__ = ["AwsCloud"]
