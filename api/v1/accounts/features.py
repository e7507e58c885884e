"""Feature flags: for a share of all accounts, and for single accounts."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest
from ninja import Path, Router, Schema
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, account_of, caller_of
from api.v1.protocol.answers import Answer, Asked, Number
from api.v1.protocol.conditional import IF_MATCH, unchanged
from mailbox import features
from mailbox.models import Account, Feature, FeatureSetting
from mailbox.views.accounts.features import set_feature

router = Router(tags=["features"])
Percent = Annotated[int, Field(ge=features.NONE, le=features.ALL, description="Of all accounts.")]


class FeatureState(Schema):
    """A feature flag. `percent`: the share of accounts that have it; `off`: accounts that never have it."""

    feature: Feature
    percent: Percent
    on: list[int] = Field(description="Accounts for which it is on whatever the share.")
    off: list[int]

    @classmethod
    def of(cls, each: features.Rollout) -> FeatureState:
        own = sorted(each.accounts)
        on, off = [pk for pk in own if each.accounts[pk]], [pk for pk in own if not each.accounts[pk]]
        return cls(feature=each.feature, percent=each.percent, on=on, off=off)


class Share(Asked):
    """The share of all accounts that have the feature."""

    percent: Percent


class OwnSetting(Asked):
    """The setting of one account."""

    on: bool | None = Field(description="null: as for all accounts.")


@router.get("/features", response={200: Answer[list[FeatureState]], **FAILURES}, operation_id="list_features")
def list_features(request: HttpRequest) -> Answer[list[FeatureState]]:
    """The feature flags. Requests for a feature that is off get 403 with the code `FeatureDisabled`."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    return Answer(data=[FeatureState.of(each) for each in features.Rollouts.read().values()])


def _changed(
    request: HttpRequest, feature: Feature, account: Account | None, percent: int | None
) -> Answer[FeatureState]:
    with unchanged(request, FeatureSetting.objects.filter(feature=feature), lambda: _state(feature)):
        set_feature(request, feature, account, percent)
        return _state(feature)


def _state(feature: Feature) -> Answer[FeatureState]:
    return Answer(data=FeatureState.of(features.Rollouts.read(feature)[feature]))


@router.get("/features/{feature}", response={200: Answer[FeatureState], **FAILURES}, operation_id="get_feature")
def get_feature(request: HttpRequest, feature: Path[Feature]) -> Answer[FeatureState]:
    """One feature flag. Its ETag is for If-Match."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    return _state(feature)


@router.put(
    "/features/{feature}",
    response={200: Answer[FeatureState], **FAILURES},
    operation_id="change_feature",
    openapi_extra=IF_MATCH,
)
def change_feature(request: HttpRequest, feature: Path[Feature], given: Share) -> Answer[FeatureState]:
    """Switch a feature on for a share of all accounts, always the same ones. Heeds If-Match."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    return _changed(request, feature, None, given.percent)


@router.put(
    "/features/{feature}/accounts/{pk}",
    response={200: Answer[FeatureState], **FAILURES},
    operation_id="change_feature_of_account",
    openapi_extra=IF_MATCH,
)
def change_of_account(
    request: HttpRequest, feature: Path[Feature], pk: Path[Number], given: OwnSetting
) -> Answer[FeatureState]:
    """Switch a feature on or off for one account, whatever the share. Heeds If-Match, with the feature's ETag."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    percent = {True: features.ALL, False: features.NONE, None: None}[given.on]
    return _changed(request, feature, account_of(request, pk, Scope.ADMINISTER), percent)
