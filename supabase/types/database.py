# Written by make types; a test compares.
from __future__ import annotations

import datetime
import uuid
from typing import (
    Annotated,
    Any,
    List,
    Literal,
    Optional,
    TypedDict,
)
from typing_extensions import NotRequired, TypeAlias

from pydantic import BaseModel, Field, JsonValue



class PublicElectricityReadings(BaseModel):
    created_at: Optional[datetime.datetime] = Field(alias="created_at")
    date: datetime.date = Field(alias="date")
    id: uuid.UUID = Field(alias="id")
    kwh_value: float = Field(alias="kwh_value")
    meter_photo_url: Optional[str] = Field(alias="meter_photo_url")
    notes: Optional[str] = Field(alias="notes")
    token_amount: Optional[float] = Field(alias="token_amount")
    token_cost: Optional[float] = Field(alias="token_cost")
    user_id: uuid.UUID = Field(alias="user_id")

class PublicElectricityReadingsInsert(TypedDict):
    created_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="created_at")]]
    date: Annotated[datetime.date, Field(alias="date")]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    kwh_value: Annotated[float, Field(alias="kwh_value")]
    meter_photo_url: NotRequired[Annotated[Optional[str], Field(alias="meter_photo_url")]]
    notes: NotRequired[Annotated[Optional[str], Field(alias="notes")]]
    token_amount: NotRequired[Annotated[Optional[float], Field(alias="token_amount")]]
    token_cost: NotRequired[Annotated[Optional[float], Field(alias="token_cost")]]
    user_id: Annotated[uuid.UUID, Field(alias="user_id")]

class PublicElectricityReadingsUpdate(TypedDict):
    created_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="created_at")]]
    date: NotRequired[Annotated[datetime.date, Field(alias="date")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    kwh_value: NotRequired[Annotated[float, Field(alias="kwh_value")]]
    meter_photo_url: NotRequired[Annotated[Optional[str], Field(alias="meter_photo_url")]]
    notes: NotRequired[Annotated[Optional[str], Field(alias="notes")]]
    token_amount: NotRequired[Annotated[Optional[float], Field(alias="token_amount")]]
    token_cost: NotRequired[Annotated[Optional[float], Field(alias="token_cost")]]
    user_id: NotRequired[Annotated[uuid.UUID, Field(alias="user_id")]]

class PublicRecalculationBatches(BaseModel):
    affected_events: JsonValue = Field(alias="affected_events")
    can_rollback_until: Optional[datetime.datetime] = Field(alias="can_rollback_until")
    created_at: Optional[datetime.datetime] = Field(alias="created_at")
    created_by: Optional[uuid.UUID] = Field(alias="created_by")
    events_count: int = Field(alias="events_count")
    id: uuid.UUID = Field(alias="id")
    rollback_reason: Optional[str] = Field(alias="rollback_reason")
    rolled_back_at: Optional[datetime.datetime] = Field(alias="rolled_back_at")
    trigger_event_id: Optional[uuid.UUID] = Field(alias="trigger_event_id")
    trigger_type: str = Field(alias="trigger_type")
    user_id: uuid.UUID = Field(alias="user_id")

class PublicRecalculationBatchesInsert(TypedDict):
    affected_events: Annotated[JsonValue, Field(alias="affected_events")]
    can_rollback_until: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="can_rollback_until")]]
    created_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="created_at")]]
    created_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="created_by")]]
    events_count: Annotated[int, Field(alias="events_count")]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    rollback_reason: NotRequired[Annotated[Optional[str], Field(alias="rollback_reason")]]
    rolled_back_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="rolled_back_at")]]
    trigger_event_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="trigger_event_id")]]
    trigger_type: Annotated[str, Field(alias="trigger_type")]
    user_id: Annotated[uuid.UUID, Field(alias="user_id")]

class PublicRecalculationBatchesUpdate(TypedDict):
    affected_events: NotRequired[Annotated[JsonValue, Field(alias="affected_events")]]
    can_rollback_until: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="can_rollback_until")]]
    created_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="created_at")]]
    created_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="created_by")]]
    events_count: NotRequired[Annotated[int, Field(alias="events_count")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    rollback_reason: NotRequired[Annotated[Optional[str], Field(alias="rollback_reason")]]
    rolled_back_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="rolled_back_at")]]
    trigger_event_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="trigger_event_id")]]
    trigger_type: NotRequired[Annotated[str, Field(alias="trigger_type")]]
    user_id: NotRequired[Annotated[uuid.UUID, Field(alias="user_id")]]

class PublicTokenEvents(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    created_by: Optional[uuid.UUID] = Field(alias="created_by")
    event_date: datetime.datetime = Field(alias="event_date")
    event_type: str = Field(alias="event_type")
    id: uuid.UUID = Field(alias="id")
    idempotency_key: Optional[str] = Field(alias="idempotency_key")
    is_voided: bool = Field(alias="is_voided")
    kwh_amount: float = Field(alias="kwh_amount")
    legacy_token_amount: Optional[float] = Field(alias="legacy_token_amount")
    metadata: Optional[JsonValue] = Field(alias="metadata")
    meter_photo_url: Optional[str] = Field(alias="meter_photo_url")
    notes: Optional[str] = Field(alias="notes")
    observed_kwh: Optional[float] = Field(alias="observed_kwh")
    reading_id: Optional[uuid.UUID] = Field(alias="reading_id")
    recalc_batch_id: Optional[uuid.UUID] = Field(alias="recalc_batch_id")
    token_cost: Optional[float] = Field(alias="token_cost")
    user_id: uuid.UUID = Field(alias="user_id")
    void_of_event: Optional[uuid.UUID] = Field(alias="void_of_event")
    voided_at: Optional[datetime.datetime] = Field(alias="voided_at")
    voided_by: Optional[uuid.UUID] = Field(alias="voided_by")
    voided_reason: Optional[str] = Field(alias="voided_reason")

class PublicTokenEventsInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    created_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="created_by")]]
    event_date: Annotated[datetime.datetime, Field(alias="event_date")]
    event_type: Annotated[str, Field(alias="event_type")]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    idempotency_key: NotRequired[Annotated[Optional[str], Field(alias="idempotency_key")]]
    is_voided: NotRequired[Annotated[bool, Field(alias="is_voided")]]
    kwh_amount: Annotated[float, Field(alias="kwh_amount")]
    legacy_token_amount: NotRequired[Annotated[Optional[float], Field(alias="legacy_token_amount")]]
    metadata: NotRequired[Annotated[Optional[JsonValue], Field(alias="metadata")]]
    meter_photo_url: NotRequired[Annotated[Optional[str], Field(alias="meter_photo_url")]]
    notes: NotRequired[Annotated[Optional[str], Field(alias="notes")]]
    observed_kwh: NotRequired[Annotated[Optional[float], Field(alias="observed_kwh")]]
    reading_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="reading_id")]]
    recalc_batch_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="recalc_batch_id")]]
    token_cost: NotRequired[Annotated[Optional[float], Field(alias="token_cost")]]
    user_id: Annotated[uuid.UUID, Field(alias="user_id")]
    void_of_event: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="void_of_event")]]
    voided_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="voided_at")]]
    voided_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="voided_by")]]
    voided_reason: NotRequired[Annotated[Optional[str], Field(alias="voided_reason")]]

class PublicTokenEventsUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    created_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="created_by")]]
    event_date: NotRequired[Annotated[datetime.datetime, Field(alias="event_date")]]
    event_type: NotRequired[Annotated[str, Field(alias="event_type")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    idempotency_key: NotRequired[Annotated[Optional[str], Field(alias="idempotency_key")]]
    is_voided: NotRequired[Annotated[bool, Field(alias="is_voided")]]
    kwh_amount: NotRequired[Annotated[float, Field(alias="kwh_amount")]]
    legacy_token_amount: NotRequired[Annotated[Optional[float], Field(alias="legacy_token_amount")]]
    metadata: NotRequired[Annotated[Optional[JsonValue], Field(alias="metadata")]]
    meter_photo_url: NotRequired[Annotated[Optional[str], Field(alias="meter_photo_url")]]
    notes: NotRequired[Annotated[Optional[str], Field(alias="notes")]]
    observed_kwh: NotRequired[Annotated[Optional[float], Field(alias="observed_kwh")]]
    reading_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="reading_id")]]
    recalc_batch_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="recalc_batch_id")]]
    token_cost: NotRequired[Annotated[Optional[float], Field(alias="token_cost")]]
    user_id: NotRequired[Annotated[uuid.UUID, Field(alias="user_id")]]
    void_of_event: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="void_of_event")]]
    voided_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="voided_at")]]
    voided_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="voided_by")]]
    voided_reason: NotRequired[Annotated[Optional[str], Field(alias="voided_reason")]]

class PublicUserProfiles(BaseModel):
    created_at: Optional[datetime.datetime] = Field(alias="created_at")
    display_name: Optional[str] = Field(alias="display_name")
    id: uuid.UUID = Field(alias="id")
    last_login: Optional[datetime.datetime] = Field(alias="last_login")
    role: Optional[str] = Field(alias="role")
    status: Optional[str] = Field(alias="status")
    tariff_settings: Optional[JsonValue] = Field(alias="tariff_settings")
    updated_at: Optional[datetime.datetime] = Field(alias="updated_at")

class PublicUserProfilesInsert(TypedDict):
    created_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="created_at")]]
    display_name: NotRequired[Annotated[Optional[str], Field(alias="display_name")]]
    id: Annotated[uuid.UUID, Field(alias="id")]
    last_login: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="last_login")]]
    role: NotRequired[Annotated[Optional[str], Field(alias="role")]]
    status: NotRequired[Annotated[Optional[str], Field(alias="status")]]
    tariff_settings: NotRequired[Annotated[Optional[JsonValue], Field(alias="tariff_settings")]]
    updated_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="updated_at")]]

class PublicUserProfilesUpdate(TypedDict):
    created_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="created_at")]]
    display_name: NotRequired[Annotated[Optional[str], Field(alias="display_name")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    last_login: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="last_login")]]
    role: NotRequired[Annotated[Optional[str], Field(alias="role")]]
    status: NotRequired[Annotated[Optional[str], Field(alias="status")]]
    tariff_settings: NotRequired[Annotated[Optional[JsonValue], Field(alias="tariff_settings")]]
    updated_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="updated_at")]]

class PublicElectricityReadingsV(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    date: datetime.date = Field(alias="date")
    id: uuid.UUID = Field(alias="id")
    kwh_value: float = Field(alias="kwh_value")
    meter_photo_url: Optional[str] = Field(alias="meter_photo_url")
    notes: Optional[str] = Field(alias="notes")
    token_amount: Optional[float] = Field(alias="token_amount")
    token_cost: Optional[float] = Field(alias="token_cost")
    user_id: uuid.UUID = Field(alias="user_id")

class PublicElectricityReadingsMv(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    date: Optional[datetime.date] = Field(alias="date")
    id: Optional[uuid.UUID] = Field(alias="id")
    kwh_value: Optional[float] = Field(alias="kwh_value")
    meter_photo_url: Optional[str] = Field(alias="meter_photo_url")
    notes: Optional[str] = Field(alias="notes")
    token_amount: Optional[float] = Field(alias="token_amount")
    token_cost: Optional[float] = Field(alias="token_cost")
    user_id: uuid.UUID = Field(alias="user_id")
